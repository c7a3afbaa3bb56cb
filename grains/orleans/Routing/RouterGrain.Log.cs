using Microsoft.Extensions.Logging;

namespace Granary.Grains.Routing;

internal sealed partial class RouterGrain
{
    [LoggerMessage(Level = LogLevel.Information, Message = "The router of model {Model} has {Replicas} replicas to choose from.")]
    private partial void LogReplicas(string model, int replicas);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The router of model {Model} starts without its replicas.")]
    private partial void LogModelSilent(string model, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId}, epoch {Epoch}, does not tell its load and is left out.")]
    private partial void LogReplicaSilent(string replicaId, long epoch, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Bookings} bookings of model {Model} were never given back and have ended.")]
    private partial void LogExpired(string model, int bookings);
}
