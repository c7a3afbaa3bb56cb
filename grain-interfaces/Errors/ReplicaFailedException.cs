using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>The engine failed while the sequence ran; what was delivered is right, what follows is lost.</summary>
[GenerateSerializer, Alias("granary.error.replica-failed")]
public sealed class ReplicaFailedException : GranaryException
{
    public ReplicaFailedException(string message) : base(message)
    {
    }
}
