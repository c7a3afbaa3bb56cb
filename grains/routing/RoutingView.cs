namespace Granary.Routing;

/// <summary>What a policy sees of one request's replicas. It lives as long as the decision.</summary>
/// <param name="replicas">All of them.</param>
/// <param name="candidates">Indices of those that may take the request, ascending, at least one.</param>
/// <param name="speeds">What to assume of those that have not measured.</param>
public readonly ref struct RoutingView(ReadOnlySpan<ReplicaView> replicas, ReadOnlySpan<int> candidates, MeanSpeeds speeds)
{
    public ReadOnlySpan<ReplicaView> Replicas { get; } = replicas;

    public ReadOnlySpan<int> Candidates { get; } = candidates;

    public MeanSpeeds Speeds { get; } = speeds;
}
