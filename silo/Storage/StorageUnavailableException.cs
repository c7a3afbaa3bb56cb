using Orleans;
using Orleans.Runtime;

namespace Granary.Silo.Storage;

/// <summary>The storage did not answer in its time, or not as it should. Whether something was written is not known.</summary>
[GenerateSerializer, Alias("granary.error.storage-unavailable")]
public sealed class StorageUnavailableException : OrleansException
{
    public StorageUnavailableException(string message, Exception? inner) : base(message, inner!)
    {
    }
}
