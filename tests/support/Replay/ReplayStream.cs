using Granary.Engine;
using Granary.Engine.Sampling;
using Granary.GrainInterfaces.Routing;

namespace Granary.Tests.Support.Replay;

/// <summary>One request from its arrival to its last token, over as many lives as it takes.</summary>
internal sealed class ReplayStream(TraceRequest request, int number, int blockTokens, ReplayClock clock)
{
    private readonly List<double> _gaps = [];
    private int[]? _prompt;

    public int Number => number;

    public TraceRequest Request => request;

    /// <summary>Tokens delivered.</summary>
    public int Delivered { get; private set; }

    public double FirstTokenAt { get; private set; } = double.NaN;

    public double LastTokenAt { get; private set; }

    public IReadOnlyList<double> Gaps => _gaps;

    /// <summary>Prompt tokens that the first life took from its cache.</summary>
    public int CachedTokens { get; private set; }

    public bool IsDone { get; private set; }

    public Guid Booking { get; set; }

    public int Router { get; set; }

    public List<ReplicaLife> Lost { get; } = [];

    /// <summary>Told when its last token is there.</summary>
    public required Action<ReplayStream> Done { get; init; }

    public RouteRequest ToRoute()
    {
        var prompt = Prompt();
        var blocks = ReplayTokens.Names(prompt, blockTokens);
        return new()
        {
            RequestId = $"r{number}",
            PromptTokens = prompt.Length,
            MaxTokens = request.OutputTokens,
            PrefixHash = blocks.Length > 0 ? blocks[0] : (ulong)number,
            Blocks = blocks,
            BlockTokens = blockTokens,
            Excluded = [.. Lost],
            Lost = [.. Lost],
        };
    }

    public EngineRequest ToEngine() => new()
    {
        RequestId = $"r{number}",
        PromptTokenIds = Prompt(),
        ReplayedTokens = Delivered,
        Sampling = new SamplingParameters { MaxTokens = request.OutputTokens },
    };

    public void Take(GeneratedToken token)
    {
        var now = clock.Seconds;
        if (token.TokenId >= 0)
        {
            if (Delivered == 0) (FirstTokenAt, CachedTokens) = (now, token.CachedPromptTokens);
            else _gaps.Add(now - LastTokenAt);
            Delivered++;
            LastTokenAt = now;
        }

        _prompt = null;
        if (token.End is null) return;
        IsDone = true;
        Done(this);
    }

    /// <summary>The prompt and what was delivered since.</summary>
    private int[] Prompt()
    {
        if (_prompt is not null) return _prompt;
        _prompt = ReplayTokens.Prompt(request, blockTokens);
        if (Delivered > 0) _prompt = [.. _prompt, .. Enumerable.Range(0, Delivered).Select(i => ReplayTokens.Generated(number, i))];
        return _prompt;
    }
}
