using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>The replica's admission queue is full; nothing was started.</summary>
[GenerateSerializer, Alias("granary.error.replica-saturated")]
public sealed class ReplicaSaturatedException : GranaryException
{
    public ReplicaSaturatedException(string message, TimeSpan retryAfter) : base(message)
    {
        RetryAfter = retryAfter;
    }

    /// <summary>When it is worth asking again.</summary>
    [Id(0)]
    public TimeSpan RetryAfter { get; private set; }
}
