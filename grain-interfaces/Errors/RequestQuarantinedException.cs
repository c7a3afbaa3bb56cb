using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>Replicas failed in steps that this request was alone in: it is not tried again, so that no more are lost. What was delivered is right.</summary>
[GenerateSerializer, Alias("granary.error.request-quarantined")]
public sealed class RequestQuarantinedException : GranaryException
{
    public RequestQuarantinedException(string message, int failures) : base(message)
    {
        Failures = failures;
    }

    /// <summary>Lives of replicas that ended with it.</summary>
    [Id(0)]
    public int Failures { get; private set; }
}
