namespace Granary.Routing;

/// <summary>Which replica was chosen, or why none was.</summary>
/// <param name="Index">Into the views; -1 where none was chosen.</param>
/// <param name="Cost">What it costs there; nothing where none was chosen.</param>
/// <param name="Obstacle">What stood in the way of all of them.</param>
/// <param name="Overlap">What the chosen one has of the request's prefix.</param>
public readonly record struct RouteDecision(int Index, RouteCost Cost, RouteObstacle Obstacle, PrefixOverlap Overlap = default)
{
    /// <summary>Until the request's first token.</summary>
    public double PredictedWaitSeconds => Cost.FirstToken;
}

/// <summary>Why a request can go nowhere.</summary>
public enum RouteObstacle
{
    None,

    /// <summary>The model has no replica.</summary>
    NoReplica,

    /// <summary>None of them answers.</summary>
    Unreachable,

    /// <summary>Those that answer will end, and take nothing new.</summary>
    Draining,

    /// <summary>Those that answer have refused or lost this request before.</summary>
    Excluded,

    /// <summary>The prompt is longer than the context or the KV cache of each of them.</summary>
    TooLong,
}
