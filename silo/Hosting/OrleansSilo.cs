using System.Net;
using Granary.Silo.Storage;
using Orleans.Configuration;
using Orleans.Hosting;

namespace Granary.Silo.Hosting;

/// <summary>The Orleans side of the silo: alone in its process, one of several in it, or a member of a cluster that Redis holds together.</summary>
internal static class OrleansSilo
{
    public static void Configure(ISiloBuilder silo, GranaryOptions options, SiloPlace place)
    {
        var cluster = options.Cluster;
        if (string.IsNullOrWhiteSpace(cluster.Redis))
        {
            // The first silo of the process keeps the membership of all of them.
            silo.UseLocalhostClustering(
                siloPort: place.IsFirst ? place.Group.PrimaryPort : FreePort.Find(), gatewayPort: place.IsFirst ? cluster.GatewayPort : 0,
                primarySiloEndpoint: place.IsFirst ? null : new IPEndPoint(IPAddress.Loopback, place.Group.PrimaryPort),
                serviceId: cluster.ServiceId, clusterId: cluster.ClusterId);
        }
        else
        {
            silo.UseRedisClustering(cluster.Redis!);
            RestoringMembershipTable.AddTo(silo.Services);
            var siloPort = cluster.SiloPort > 0 ? cluster.SiloPort : EndpointOptions.DEFAULT_SILO_PORT;
            var gatewayPort = cluster.GatewayPort > 0 ? cluster.GatewayPort : EndpointOptions.DEFAULT_GATEWAY_PORT;
            // What is no address was refused.
            if (IPAddress.TryParse(cluster.Address, out var address)) silo.ConfigureEndpoints(address, siloPort, gatewayPort);
            else silo.ConfigureEndpoints(siloPort, gatewayPort);
            silo.Configure<Orleans.Configuration.ClusterOptions>(o => (o.ServiceId, o.ClusterId) = (cluster.ServiceId, cluster.ClusterId));
        }

        StorageSetup.Configure(silo, options);
        silo.Configure<SiloOptions>(o => o.SiloName = SiloIdentity.NameOf(cluster, place));
        // A crashed silo is evicted within about a second, a hung one within five; the defaults take 6 and 60.
        silo.Configure<ClusterMembershipOptions>(o =>
        {
            o.ProbeTimeout = TimeSpan.FromSeconds(1);
            o.MinProbeTimeout = TimeSpan.FromMilliseconds(500);
            o.MaxProbeTimeout = TimeSpan.FromSeconds(2);
            o.NumMissedProbesLimit = 2;
            o.TableRefreshTimeout = o.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(5);
        });
#pragma warning disable ORLEANSEXP003 // The default directory deactivates grains of healthy silos when another dies, and breaks their streams.
        silo.AddDistributedGrainDirectory();
#pragma warning restore ORLEANSEXP003
        // The longest a hung silo goes unnoticed: probes of 2 s, two of them. More would add a lease to every failover.
        silo.Configure<GrainDirectoryOptions>(o => o.RangeLeaseDuration = TimeSpan.FromSeconds(4));
        silo.Configure<SiloMessagingOptions>(o =>
        {
            o.ResponseTimeout = TimeSpan.FromSeconds(15);
            // Without it a call that timed out goes on at the callee.
            o.CancelRequestOnTimeout = true;
        });
    }
}
