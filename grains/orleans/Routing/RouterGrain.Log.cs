using Microsoft.Extensions.Logging;

namespace Granary.Grains.Routing;

internal sealed partial class RouterGrain
{
    [LoggerMessage(Level = LogLevel.Information, Message = "The router of model {Model} has {Replicas} replicas to choose from.")]
    private partial void LogReplicas(string model, int replicas);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The grain of model {Model} does not answer; its router keeps what it knows.")]
    private partial void LogModelSilent(string model, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId}, epoch {Epoch}, does not tell its load and is left out.")]
    private partial void LogReplicaSilent(string replicaId, long epoch, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Bookings} bookings of model {Model} were never given back and have ended.")]
    private partial void LogExpired(string model, int bookings);

    [LoggerMessage(Level = LogLevel.Information, Message = "The grain of model {Model} could not be asked for lives that came just now.")]
    private partial void LogModelNotAsked(string model, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "That a request of model {Model} is refused, fingerprint {Fingerprint:x16}, could not be told to other routers.")]
    private partial void LogQuarantineNotSpread(string model, ulong fingerprint, Exception exception);
}
