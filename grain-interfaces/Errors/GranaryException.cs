using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>Base of the errors that grains tell their callers.</summary>
[GenerateSerializer, Alias("granary.error")]
public abstract class GranaryException : Exception
{
    private protected GranaryException(string message, Exception? inner = null) : base(message, inner)
    {
    }
}
