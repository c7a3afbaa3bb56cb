using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>There is a session of this id already; it was not changed.</summary>
[GenerateSerializer, Alias("granary.error.session-exists")]
public sealed class SessionExistsException : GranaryException
{
    public SessionExistsException(string message) : base(message)
    {
    }
}
