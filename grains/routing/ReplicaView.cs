using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Routing;

/// <summary>What a router believes of one replica at the moment of one request.</summary>
/// <param name="Replica">Who it is, and its sizes.</param>
/// <param name="Load">Its last report; null before the first.</param>
/// <param name="IsReachable">False from a report that did not come until the next that does.</param>
/// <param name="BookedRequests">Requests that were sent there and have not been given back.</param>
/// <param name="Unseen">What is booked there and its last report cannot show yet.</param>
/// <param name="Overlap">What it has of the request's prefix.</param>
public readonly record struct ReplicaView(
    ReplicaDescriptor Replica, ReplicaLoad? Load, bool IsReachable = true, int BookedRequests = 0, BookedWork Unseen = default, PrefixOverlap Overlap = default)
{
    /// <summary>Sequences there, those on their way included.</summary>
    public int Sequences => (Load?.RunningSequences ?? 0) + (Load?.WaitingSequences ?? 0) + Unseen.Requests;
}
