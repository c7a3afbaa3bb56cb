using Granary.GrainInterfaces.Cluster;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>This silo's name in the cluster, and the keys of its workers.</summary>
internal sealed class SiloIdentity(IOptions<GranaryOptions> options, SiloPlace place)
{
    public string Name { get; } = NameOf(options.Value.Cluster, place);

    /// <summary>The worker that the CPU's cores are.</summary>
    public string WorkerKey => GrainKeys.Worker(Name, "cpu");

    public static string NameOf(ClusterOptions cluster, SiloPlace place)
    {
        var name = string.IsNullOrWhiteSpace(cluster.SiloName) ? $"{Environment.MachineName}-{Environment.ProcessId}" : cluster.SiloName;
        return place.IsFirst ? name : $"{name}-{place.Index + 1}";
    }
}
