using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Orleans.Runtime;

namespace Granary.Client;

/// <summary>What an error of a call to a replica or a router means for the request.</summary>
internal static class StreamErrors
{
    /// <summary>The replica said no, and nothing was started.</summary>
    public static bool IsRefusal(Exception exception) => exception is ReplicaSaturatedException or EpochMismatchException;

    /// <summary>The call broke or was not answered: whether something was started nobody knows.</summary>
    public static bool IsLoss(Exception exception) =>
        exception is OrleansException or TimeoutException or UnknownReaderException or ReplicaFailedException or OperationCanceledException;

    /// <summary>A refusal as callers are told of it.</summary>
    public static GranaryException ToContract(Exception refusal, ReplicaLife replica) => refusal switch
    {
        EpochMismatchException => new ModelNotReadyException($"Replica '{replica.ReplicaId}' has begun another life: {refusal.Message}", TimeSpan.FromSeconds(1)),
        GranaryException typed => typed,
        _ => throw new ArgumentException($"{refusal.GetType().Name} is no refusal.", nameof(refusal)),
    };
}
