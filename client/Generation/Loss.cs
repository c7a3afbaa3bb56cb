namespace Granary.Client;

/// <summary>How a stream lost the life that it read from.</summary>
/// <param name="What">For people: whole sentences without the request's texts.</param>
internal sealed record Loss(LossReason Reason, string What)
{
    /// <summary>Nobody said a word before: the process may have been killed by what it computed.</summary>
    public bool IsSudden { get; init; }

    /// <summary>The replica says that a step failed in which this sequence had a part.</summary>
    public bool WasInFailedStep { get; init; }
}

/// <summary>Why a stream goes on in another life.</summary>
internal enum LossReason
{
    /// <summary>The call broke, or the life ended before the sequence did.</summary>
    Crash,

    /// <summary>Nothing was heard, or steps stood still.</summary>
    Stall,

    /// <summary>The replica said that it will end, and another took the sequence over.</summary>
    Drain,

    /// <summary>Tokens before one that came are missing.</summary>
    Missing,
}
