namespace Granary.Routing.Policies;

/// <summary>The policies by name: ours, and those of others to compare it with.</summary>
public static class RoutingPolicies
{
    public const string Default = "seconds";

    private static readonly Dictionary<string, Func<RoutingSettings, Random, IRoutingPolicy>> All = new(StringComparer.Ordinal)
    {
        [Default] = (settings, _) => new SecondsPolicy(settings),
        ["dynamo"] = (_, random) => new DynamoPolicy(DynamoSettings.Default, random),
        ["dynamo-tuned"] = (_, random) => new DynamoPolicy(DynamoSettings.Tuned, random),
        ["smg"] = (_, random) => new CacheAwarePolicy(random),
        ["llm-d"] = (_, random) => new WeightedScorersPolicy(random),
        ["aibrix"] = (_, random) => new PrefixCachePolicy(random),
        ["least-loaded"] = (_, random) => new LeastLoadedPolicy(random),
        ["round-robin"] = (_, _) => new RoundRobinPolicy(),
        ["power-of-two"] = (_, random) => new PowerOfTwoPolicy(random),
    };

    public static IReadOnlyCollection<string> Names => All.Keys;

    /// <param name="random">Its own: whoever gives the same seed gets the same choices.</param>
    /// <exception cref="ArgumentException">There is no policy of that name.</exception>
    public static IRoutingPolicy Create(string name, RoutingSettings settings, Random random) =>
        All.TryGetValue(name, out var create)
            ? create(settings, random)
            : throw new ArgumentException($"There is no routing policy '{name}'; there are {string.Join(", ", All.Keys)}.", nameof(name));
}
