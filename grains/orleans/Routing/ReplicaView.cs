using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Routing;

/// <summary>What a router believes of one replica at one moment.</summary>
/// <param name="Replica">Who it is, and its sizes.</param>
/// <param name="Load">Its last report; null before the first.</param>
/// <param name="Reachable">False from a report that did not come until the next that does.</param>
/// <param name="UnseenRequests">Bookings that its last report cannot show yet.</param>
/// <param name="UnseenPromptTokens">Their prompt tokens.</param>
internal readonly record struct ReplicaView(
    ReplicaDescriptor Replica, ReplicaLoad? Load, bool Reachable = true, int UnseenRequests = 0, long UnseenPromptTokens = 0);

/// <summary>Which replica was chosen, or why none was.</summary>
/// <param name="Index">Into the views; -1 where none was chosen.</param>
/// <param name="PredictedWaitSeconds">Until the request's first token.</param>
/// <param name="Obstacle">What stood in the way of all of them.</param>
internal readonly record struct RouteDecision(int Index, double PredictedWaitSeconds, RouteObstacle Obstacle);

/// <summary>Why a request can go nowhere.</summary>
internal enum RouteObstacle
{
    None,

    /// <summary>The model has no replica.</summary>
    NoReplica,

    /// <summary>None of them answers.</summary>
    Unreachable,

    /// <summary>Those that answer have refused or lost this request before.</summary>
    Excluded,

    /// <summary>The prompt is longer than the context or the KV cache of each of them.</summary>
    TooLong,
}
