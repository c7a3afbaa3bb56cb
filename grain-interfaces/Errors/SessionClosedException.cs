using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>The session was closed after the turn had begun. The turn's answer is right; it is not kept.</summary>
[GenerateSerializer, Alias("granary.error.session-closed")]
public sealed class SessionClosedException : GranaryException
{
    public SessionClosedException(string message) : base(message)
    {
    }
}
