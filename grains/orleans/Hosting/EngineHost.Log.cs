using Microsoft.Extensions.Logging;

namespace Granary.Grains;

public sealed partial class EngineHost
{
    [LoggerMessage(Level = LogLevel.Information, Message = "Replica {ReplicaId} loads, epoch {Epoch}, {Threads} threads, {KvBlocks} KV blocks asked (0: the engine chooses).")]
    private partial void LogLoading(string replicaId, long epoch, int threads, int kvBlocks);

    [LoggerMessage(Level = LogLevel.Information, Message = "Replica {ReplicaId} is ready, epoch {Epoch}, after {Elapsed}, {KvBlocks} KV blocks.")]
    private partial void LogReady(string replicaId, long epoch, TimeSpan elapsed, int kvBlocks);

    [LoggerMessage(Level = LogLevel.Error, Message = "Replica {ReplicaId}, epoch {Epoch}, could not be loaded.")]
    private partial void LogLoadFailed(string replicaId, long epoch, Exception exception);

    [LoggerMessage(Level = LogLevel.Information, Message = "Replica {ReplicaId}, epoch {Epoch}, was ended.")]
    private partial void LogEnded(string replicaId, long epoch);

    [LoggerMessage(Level = LogLevel.Error, Message = "Replica {ReplicaId}, epoch {Epoch}, failed.")]
    private partial void LogFailed(string replicaId, long epoch, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId}, epoch {Epoch}, is ended with {Running} sequences still running.")]
    private partial void LogDrainCut(string replicaId, long epoch, int running);

    [LoggerMessage(Level = LogLevel.Information, Message = "Replicas of this silo take nothing new: it stops.")]
    private partial void LogDraining();

    [LoggerMessage(Level = LogLevel.Critical, Message = "The engine of replica {ReplicaId}, epoch {Epoch}, does not come back from a step: it keeps its memory, and its device is not used again. Start this process anew.")]
    private partial void LogHung(string replicaId, long epoch);

    [LoggerMessage(Level = LogLevel.Error, Message = "The engine of replica {ReplicaId}, epoch {Epoch}, could not be disposed.")]
    private partial void LogDisposeFailed(string replicaId, long epoch, Exception exception);
}
