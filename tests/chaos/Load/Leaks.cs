using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Chaos;

/// <summary>Nothing may be left when all callers have their answers: sequences, KV blocks, bookings.</summary>
internal static class Leaks
{
    /// <summary>Longer than a silent reader's lease, after which its sequences go.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static async Task RequireNoneAsync(ChaosCluster cluster, TimeSpan? patience = null)
    {
        await cluster.UntilAsync(
            () => FindAsync(cluster), left => left.Length == 0, patience ?? Patience, "Nothing is left");
    }

    private static async Task<string> FindAsync(ChaosCluster cluster)
    {
        var left = new List<string>();
        foreach (var silo in cluster.Silos.Where(silo => !silo.IsGone))
        {
            foreach (var replica in silo.Services.GetRequiredService<EngineHost>().Replicas)
            {
                var load = replica.Engine.Load;
                if (load.RunningSequences + load.WaitingSequences + load.KvBlocksUsed + replica.Users > 0)
                    left.Add($"{replica.ReplicaId} has {load.RunningSequences} running, {load.WaitingSequences} waiting, {load.KvBlocksUsed} blocks, {replica.Users} users");
            }
        }

        foreach (var key in cluster.RouterKeys)
        {
            var snapshot = await cluster.Grains.GetGrain<IRouterGrain>(key).GetSnapshotAsync();
            left.AddRange(snapshot.Replicas.Where(replica => replica.BookedRequests > 0).Select(replica => $"router {key} has {replica.BookedRequests} bookings on {replica.Replica.ReplicaId}"));
        }

        return string.Join("; ", left);
    }
}
