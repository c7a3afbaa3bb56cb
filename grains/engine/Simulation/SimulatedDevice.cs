namespace Granary.Engine.Simulation;

/// <summary>Sizes and speed of a simulated device. The default speed is free: steps take no time.</summary>
public sealed record SimulatedDevice
{
    public int VocabularySize { get; init; } = 256;

    public int HiddenSize { get; init; } = 16;

    public int ContextLength { get; init; } = 1024;

    public int KvBlockCount { get; init; } = 256;

    public int KvBlockTokens { get; init; } = 16;

    /// <summary>Most rows of logits of one step.</summary>
    public int MaxLogitRows { get; init; } = 4096;

    /// <summary>Most steps that may have begun and not ended; they take their time one after another.</summary>
    public int StepsInFlight { get; init; } = 1;

    /// <summary>Time of a step apart from its tokens.</summary>
    public TimeSpan PerStep { get; init; }

    /// <summary>Additional time for each sequence that decodes.</summary>
    public TimeSpan PerDecodingSequence { get; init; }

    /// <summary>Additional time for each prompt token.</summary>
    public TimeSpan PerPrefillToken { get; init; }
}
