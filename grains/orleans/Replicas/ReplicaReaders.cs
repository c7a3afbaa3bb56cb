using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Granary.Grains.Replicas;

/// <summary>The readers of this silo's replicas. They outlive the life they read from until they have its last tokens.</summary>
/// <remarks>Safe for any thread.</remarks>
internal sealed partial class ReplicaReaders(TimeProvider time, ILogger<ReplicaReaders> logger)
{
    /// <summary>Readers are processes, once for each replica; more than this is a caller that opens and never takes.</summary>
    internal const int MaxReaders = 4096;

    private readonly ConcurrentDictionary<Guid, ReplicaReader> _readers = new();

    public int Count => _readers.Count;

    /// <returns>False where there are too many already. A reader that is known stays as it is.</returns>
    public bool TryOpen(Guid id, HostedReplica replica)
    {
        if (_readers.Count >= MaxReaders) return false;
        var reader = new ReplicaReader(replica, time);
        if (!_readers.TryAdd(id, reader)) return true;
        reader.Start(left =>
        {
            _readers.TryRemove(id, out _);
            if (left > 0) LogSilent(id, replica.ReplicaId, replica.Epoch, left);
        });
        return true;
    }

    public ReplicaReader? Find(Guid id) => _readers.GetValueOrDefault(id);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Reader {Reader} of replica {ReplicaId}, epoch {Epoch}, has fallen silent; {Sequences} sequences were cancelled.")]
    private partial void LogSilent(Guid reader, string replicaId, long epoch, int sequences);
}
