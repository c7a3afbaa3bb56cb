using Granary.GrainInterfaces.Routing;

namespace Granary.Routing;

/// <summary>Picks one of the replicas that may take a request.</summary>
/// <remarks>
/// Pure over the view and the request, but for what a policy keeps from what it was told, and for randomness, which it is given. Not safe for several threads.
/// </remarks>
public interface IRoutingPolicy
{
    /// <summary>What it is called in settings.</summary>
    string Name { get; }

    /// <returns>One of <see cref="RoutingView.Candidates"/>.</returns>
    int Pick(RoutingView view, RouteRequest request);

    /// <summary>The request was sent there.</summary>
    void Booked(Booking booking)
    {
    }

    /// <summary>The request has ended, or will not be heard of again.</summary>
    void Released(Booking booking)
    {
    }

    /// <summary>The life has ended.</summary>
    void Removed(ReplicaLife replica)
    {
    }
}
