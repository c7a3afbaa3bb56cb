namespace Granary.Client.Cli.Load;

internal enum LoadEndpoint
{
    Chat,
    Completions,
}

internal enum Arrivals
{
    /// <summary>Independent of each other: exponential gaps.</summary>
    Poisson,

    /// <summary>Equal gaps.</summary>
    Constant,
}

/// <summary>What load to make. Either <see cref="Concurrency"/> (closed loop) or <see cref="Rate"/> (open loop) is set.</summary>
internal sealed record LoadSettings
{
    /// <summary>Most requests of one run: what is kept of each is bounded, so memory is.</summary>
    public const int MaxRequests = 1_000_000;

    public required Uri Url { get; init; }

    /// <summary>Never reported.</summary>
    public string? ApiKey { get; init; }

    public required string Model { get; init; }

    public LoadEndpoint Endpoint { get; init; }

    /// <summary>Closed loop: requests under way at any time.</summary>
    public int? Concurrency { get; init; }

    /// <summary>Open loop: arrivals per second.</summary>
    public double? Rate { get; init; }

    public Arrivals Arrivals { get; init; }

    /// <summary>Most requests on the wire at once; an open loop's further arrivals wait, and their wait counts.</summary>
    public int MaxConnections { get; init; } = 1024;

    /// <summary>Measured requests, at most.</summary>
    public int Requests { get; init; } = MaxRequests;

    /// <summary>How long requests begin; what has begun is waited for.</summary>
    public TimeSpan? Duration { get; init; }

    /// <summary>Requests before the measured ones.</summary>
    public int Warmup { get; init; }

    public LengthDistribution PromptTokens { get; init; } = new(128, 128);

    public LengthDistribution OutputTokens { get; init; } = new(64, 64);

    /// <summary>Lengths of both, taken in turn; they replace the distributions.</summary>
    public IReadOnlyList<(int Prompt, int Output)>? Trace { get; init; }

    public string? TraceFile { get; init; }

    /// <summary>How many prefixes the prompts share; 0 for none.</summary>
    public int PrefixGroups { get; init; }

    public int PrefixTokens { get; init; }

    public double? Temperature { get; init; }

    public bool IgnoreEos { get; init; }

    public int Seed { get; init; } = 1;

    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(10);

    public TimeSpan? SloFirstToken { get; init; }

    public TimeSpan? SloInterToken { get; init; }

    /// <summary>Keep every request's figures.</summary>
    public bool Rows { get; init; }
}
