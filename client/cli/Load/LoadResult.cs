namespace Granary.Client.Cli.Load;

/// <summary>What a run measured. Fed by one outcome after the other, in any order, from any thread.</summary>
/// <remarks>Latencies and tokens are those of answers that came whole; failures are counted by kind, and never meet a goal.</remarks>
internal sealed class LoadResult(LoadSettings settings)
{
    private readonly Lock _lock = new();
    private readonly List<RequestOutcome> _rows = [];

    public LoadSettings Settings => settings;

    public DateTimeOffset StartedAt { get; init; }

    /// <summary>Whether the run was told to stop before its end; what was under way is not counted.</summary>
    public bool Interrupted { get; set; }

    /// <summary>From the start to the last answer's end.</summary>
    public TimeSpan Elapsed { get; private set; }

    public int Succeeded { get; private set; }

    public SortedDictionary<string, int> Errors { get; } = new(StringComparer.Ordinal);

    public int Failed => Errors.Values.Sum();

    public int Requests => Succeeded + Failed;

    public long PromptTokens { get; private set; }

    public long CachedTokens { get; private set; }

    public long CompletionTokens { get; private set; }

    public long Frames { get; private set; }

    /// <summary>Answers within all goals; without goals, all answers.</summary>
    public int Good { get; private set; }

    public LatencyHistogram FirstToken { get; } = new();

    public LatencyHistogram InterToken { get; } = new();

    public LatencyHistogram EndToEnd { get; } = new();

    /// <summary>How late the generator itself sent.</summary>
    public LatencyHistogram SentAfter { get; } = new();

    /// <summary>By index; none unless asked for.</summary>
    public IEnumerable<RequestOutcome> Rows => _rows.OrderBy(row => row.Index);

    public double RequestsPerSecond => PerSecond(Succeeded);

    public double CompletionTokensPerSecond => PerSecond(CompletionTokens);

    public double PromptTokensPerSecond => PerSecond(PromptTokens);

    public double GoodPerSecond => PerSecond(Good);

    public double GoodFraction => Requests == 0 ? 0 : (double)Good / Requests;

    public void Add(RequestOutcome outcome)
    {
        lock (_lock)
        {
            if (settings.Rows) _rows.Add(outcome with { Gaps = [] });
            var end = outcome.Due + outcome.EndToEnd;
            if (end > Elapsed) Elapsed = end;
            SentAfter.Record(outcome.SentAfter.TotalSeconds);
            if (outcome.Error is { } error)
            {
                Errors[error] = Errors.GetValueOrDefault(error) + 1;
                return;
            }

            Succeeded++;
            PromptTokens += outcome.Usage?.Prompt ?? 0;
            CachedTokens += outcome.Usage?.Cached ?? 0;
            CompletionTokens += outcome.CompletionTokens;
            Frames += outcome.Frames;
            FirstToken.Record(outcome.FirstToken!.Value.TotalSeconds); // A whole answer has text.
            EndToEnd.Record(outcome.EndToEnd.TotalSeconds);
            foreach (var gap in outcome.Gaps) InterToken.Record(gap);
            if (IsGood(outcome, settings)) Good++;
        }
    }

    /// <summary>First token within its goal, and the mean time of a later token within its own.</summary>
    public static bool IsGood(RequestOutcome outcome, LoadSettings settings) =>
        outcome.Error is null
        && !(outcome.FirstToken > settings.SloFirstToken)
        && !(outcome.MeanInterToken > settings.SloInterToken);

    private double PerSecond(double count) => Elapsed > TimeSpan.Zero ? count / Elapsed.TotalSeconds : 0;
}
