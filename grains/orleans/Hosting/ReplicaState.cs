namespace Granary.Grains;

/// <summary>How one life of a replica stands.</summary>
public enum ReplicaState
{
    /// <summary>It takes requests, and makes progress while it has any.</summary>
    Ready,

    /// <summary>It takes nothing new and will end.</summary>
    Draining,

    /// <summary>Its step has run for far longer than others did; if it goes on so, the life ends.</summary>
    Stalled,
}
