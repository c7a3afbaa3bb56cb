using Granary.GrainInterfaces.Cluster;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>This silo's name in the cluster, and the key of its worker.</summary>
internal sealed class SiloIdentity(IOptions<GranaryOptions> options, SiloPlace place)
{
    public string Name { get; } = NameOf(options.Value.Cluster, place);

    /// <summary>The worker that its device is.</summary>
    public string WorkerKey { get; } = GrainKeys.Worker(NameOf(options.Value.Cluster, place), options.Value.Device.Provider);

    /// <summary>Those of all silos of the process: whole replicas go to them in turn.</summary>
    public string[] WorkerKeys { get; } =
        [.. Enumerable.Range(0, place.Group.Count).Select(index => GrainKeys.Worker(NameOf(options.Value.Cluster, place with { Index = index }), options.Value.Device.Provider))];

    public static string NameOf(ClusterOptions cluster, SiloPlace place)
    {
        var name = string.IsNullOrWhiteSpace(cluster.SiloName) ? $"{Environment.MachineName}-{Environment.ProcessId}" : cluster.SiloName;
        return place.IsFirst ? name : $"{name}-{place.Index + 1}";
    }
}
