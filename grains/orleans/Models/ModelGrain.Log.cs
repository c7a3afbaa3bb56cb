using Microsoft.Extensions.Logging;

namespace Granary.Grains.Models;

internal sealed partial class ModelGrain
{
    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId}, epoch {Epoch}, lives no more; it is loaded again.")]
    private partial void LogLifeEnded(string replicaId, long epoch);

    [LoggerMessage(Level = LogLevel.Information, Message = "Replica {ReplicaId} lives again, epoch {Epoch}.")]
    private partial void LogRecovered(string replicaId, long epoch);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId} could not be loaded and is tried again in {Seconds:F1} s: {Reason}")]
    private partial void LogRetry(string replicaId, double seconds, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Worker {Worker} does not tell what lives of model {Model}.")]
    private partial void LogWorkerSilent(string worker, string model, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId} is no longer wanted, and worker {Worker} did not end it.")]
    private partial void LogUnloadFailed(string replicaId, string worker, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "The watch over model {Model} failed and goes on.")]
    private partial void LogWatchFailed(string model, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Model {Model} could not be announced to the index.")]
    private partial void LogAnnounceFailed(string model, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId} lives and nobody wants it; it is ended.")]
    private partial void LogStray(string replicaId);

    [LoggerMessage(Level = LogLevel.Information, Message = "Replica {ReplicaId}, epoch {Epoch}, will end; another life of it is looked for.")]
    private partial void LogDraining(string replicaId, long epoch);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {Replica} left with silo {Silo}.")]
    private partial void LogShareLeft(string replica, string silo);

    [LoggerMessage(Level = LogLevel.Warning, Message = "A request of model {Model} ended replicas and is refused for a while, fingerprint {Fingerprint:x16}: {Reason}")]
    private partial void LogQuarantined(string model, ulong fingerprint, string reason);
}
