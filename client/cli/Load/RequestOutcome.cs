namespace Granary.Client.Cli.Load;

/// <summary>One request, measured. Times count from when it was to be sent.</summary>
/// <param name="Due">When it was to be sent, from the run's start.</param>
/// <param name="SentAfter">How late it was sent.</param>
internal sealed record RequestOutcome(int Index, TimeSpan Due, TimeSpan SentAfter)
{
    /// <summary>To the first text; null where there was none.</summary>
    public TimeSpan? FirstToken { get; init; }

    /// <summary>From the first text to the last.</summary>
    public TimeSpan Decoding { get; init; }

    /// <summary>To the end of the answer, or to the error.</summary>
    public TimeSpan EndToEnd { get; init; }

    /// <summary>Between one frame with text and the next, in seconds.</summary>
    public IReadOnlyList<double> Gaps { get; init; } = [];

    /// <summary>Frames with text.</summary>
    public int Frames { get; init; }

    /// <summary>As the server counts; null where it does not.</summary>
    public FrameUsage? Usage { get; init; }

    /// <summary>The kind of failure; null of an answer that came whole.</summary>
    public string? Error { get; init; }

    /// <summary>Generated tokens: the server's count, or else the frames.</summary>
    public long CompletionTokens => Usage?.Completion ?? Frames;

    /// <summary>Mean time of a token after the first; null where there is at most one.</summary>
    public TimeSpan? MeanInterToken => CompletionTokens > 1 ? Decoding / (CompletionTokens - 1) : null;
}
