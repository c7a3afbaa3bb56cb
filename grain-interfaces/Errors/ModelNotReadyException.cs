using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>No replica of the model can take the request now.</summary>
[GenerateSerializer, Alias("granary.error.model-not-ready")]
public sealed class ModelNotReadyException : GranaryException
{
    public ModelNotReadyException(string message, TimeSpan retryAfter) : base(message)
    {
        RetryAfter = retryAfter;
    }

    /// <summary>When it is worth asking again.</summary>
    [Id(0)]
    public TimeSpan RetryAfter { get; private set; }
}
