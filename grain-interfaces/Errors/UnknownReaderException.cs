using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>The replica does not know the reader: it was silent for longer than its lease, and its sequences were ended. Nothing was started.</summary>
[GenerateSerializer, Alias("granary.error.unknown-reader")]
public sealed class UnknownReaderException : GranaryException
{
    public UnknownReaderException(string message) : base(message)
    {
    }
}
