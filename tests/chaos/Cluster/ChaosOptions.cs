using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Chaos;

/// <summary>What a cluster of a scenario is made of.</summary>
internal sealed record ChaosOptions
{
    /// <summary>Each has a replica.</summary>
    public short Silos { get; init; } = 4;

    /// <summary>Steps of 8 ms, so that an answer takes a good part of a second.</summary>
    public SimulatedDevice Device { get; init; } = new()
    {
        KvBlockCount = 512,
        PerStep = TimeSpan.FromMilliseconds(8),
        PerPrefillToken = TimeSpan.FromMicroseconds(40),
    };

    /// <summary>Opens the device of a replica, by its id, instead; whoever owns what it runs on is disposed after its engine.</summary>
    public Func<string, ProcessTime, Task<(IStepExecutor Executor, IAsyncDisposable? Owner)>>? Open { get; init; }

    /// <summary>With <see cref="Open"/>: a device that computes the same, for what answers have to be.</summary>
    public Func<IStepExecutor>? Alone { get; init; }

    /// <summary>The model has the embedded one's tokenizer: the SDK can speak to it in text. Its vocabulary has to be as large.</summary>
    public bool SpeaksText { get; init; }

    public EngineOptions Engine { get; init; } = new();

    public int Seed { get; init; }
}
