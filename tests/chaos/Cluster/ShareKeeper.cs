using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Runtime;

namespace Granary.Tests.Chaos;

/// <summary>Offers the silo's replica to the cluster, and repeats it whenever the cluster has forgotten, as the silo's deployment does.</summary>
internal sealed class ShareKeeper(IGrainFactory grains, ILocalSiloDetails silo, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan WaitPeriod = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var share = new DeploymentSpec(1, [GrainKeys.Worker(silo.Name, "cpu")], 1, 0) { Offer = silo.Name };
        var known = ModelWatch.Nothing;
        while (true)
        {
            try
            {
                var model = grains.GetGrain<IModelGrain>(ChaosCluster.Model);
                var status = await model.WatchAsync(known, stoppingToken);
                known = status.Version;
                if (!status.Offers.Contains(silo.Name)) await model.DeployAsync(share, stoppingToken);
            }
            catch (Exception) when (!stoppingToken.IsCancellationRequested)
            {
                await Task.Delay(WaitPeriod, time, stoppingToken);
            }
        }
    }
}
