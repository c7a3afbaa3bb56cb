using Orleans;
using Orleans.Runtime;

namespace Granary.Silo.Storage;

/// <summary>A state is larger than the storage takes; what was stored before is as it was.</summary>
[GenerateSerializer, Alias("granary.error.state-too-large")]
public sealed class StateTooLargeException : OrleansException
{
    public StateTooLargeException(string message, long bytes, long maxBytes) : base(message)
    {
        Bytes = bytes;
        MaxBytes = maxBytes;
    }

    [Id(0)]
    public long Bytes { get; private set; }

    [Id(1)]
    public long MaxBytes { get; private set; }
}
