using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>The engine failed while the sequence ran; what was delivered is right, what follows is lost.</summary>
[GenerateSerializer, Alias("granary.error.replica-failed")]
public sealed class ReplicaFailedException : GranaryException
{
    public ReplicaFailedException(string message, bool wasInFailedStep = false) : base(message)
    {
        WasInFailedStep = wasInFailedStep;
    }

    /// <summary>It had a part in the step that failed: it may be the cause.</summary>
    [Id(0)]
    public bool WasInFailedStep { get; private set; }
}
