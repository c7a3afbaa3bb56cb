using System.Globalization;

[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace Granary.Tests.Chaos;

/// <summary>What all scenarios share.</summary>
internal static class Chaos
{
    public const string Category = nameof(Chaos);

    /// <summary>Whether the cluster is simulated: its time jumps, and its members can be frozen, cut off and crashed one by one.</summary>
#if SIMULATED
    public const bool IsSimulated = true;
#else
    public const bool IsSimulated = false;
#endif

    /// <summary>The one seed to run, from the environment's <c>CHAOS_SEED</c>; null for all.</summary>
    public static int? OnlySeed { get; } = Number("CHAOS_SEED");

    /// <summary>Seeds of a property: so many, or the one that is asked for. The environment's <c>CHAOS_SEEDS</c> is another number for all properties.</summary>
    public static IReadOnlyList<int> Seeds(int count) => OnlySeed is { } seed ? [seed] : [.. Enumerable.Range(1, Number("CHAOS_SEEDS") ?? count)];

    /// <summary>The seed of a scenario that has one.</summary>
    public static int Seed(int usual) => OnlySeed ?? usual;

    private static int? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}

/// <summary>A scenario that needs faults which only the simulated cluster has.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SimulatedFactAttribute : FactAttribute
{
    public SimulatedFactAttribute() => Skip = Chaos.IsSimulated ? null : "genuine Orleans has no such fault within one process; it needs processes, containers and a network of its own";
}
