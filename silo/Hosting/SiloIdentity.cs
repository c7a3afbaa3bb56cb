using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>This silo's name in the cluster, and the keys of its workers.</summary>
internal sealed class SiloIdentity(IOptions<GranaryOptions> options)
{
    public string Name { get; } = NameOf(options.Value.Cluster);

    /// <summary>The worker that the CPU's cores are.</summary>
    public string WorkerKey => $"{Name}/cpu";

    public static string NameOf(ClusterOptions cluster) =>
        string.IsNullOrWhiteSpace(cluster.SiloName) ? $"{Environment.MachineName}-{Environment.ProcessId}" : cluster.SiloName;
}
