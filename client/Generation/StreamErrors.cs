using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Orleans.Runtime;

namespace Granary.Client;

/// <summary>What an error of a replica's stream means for the request.</summary>
internal static class StreamErrors
{
    /// <summary>Whether nothing was started, so that another replica may be asked; only before the first token.</summary>
    public static bool IsRejection(Exception exception) =>
        exception is ReplicaSaturatedException or EpochMismatchException or OrleansMessageRejectionException;

    /// <summary>The error as the contract has it: what Orleans says of a lost silo or activation is a lost replica. Null where it stays as it is.</summary>
    public static GranaryException? ToContract(Exception exception, ReplicaLife replica) => exception switch
    {
        EpochMismatchException => new ModelNotReadyException($"Replica '{replica.ReplicaId}' has begun another life: {exception.Message}", TimeSpan.FromSeconds(1)),
        OrleansException or UnknownReaderException or TimeoutException =>
            new ReplicaFailedException($"Replica '{replica.ReplicaId}', epoch {replica.Epoch}, was lost: {exception.GetType().Name}: {exception.Message}"),
        _ => null,
    };
}
