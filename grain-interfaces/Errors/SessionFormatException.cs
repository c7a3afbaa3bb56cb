using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>A session was stored by a newer program than this silo runs: it is neither read nor overwritten here.</summary>
[GenerateSerializer, Alias("granary.error.session-format")]
public sealed class SessionFormatException : GranaryException
{
    public SessionFormatException(string message) : base(message)
    {
    }
}
