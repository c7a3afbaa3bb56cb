using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.StandIn.Simulation;

namespace Orleans.Runtime;

/// <summary>A client outside of the silos, in the same process.</summary>
internal sealed class ClientRuntime : RuntimeClient
{
    private volatile bool _gone;

    public ClientRuntime(
        IServiceProvider services, IOptions<ClusterOptions> cluster, IOptions<ClientMessagingOptions> messaging, IOptions<SimulationOptions> simulation,
        ActivityPropagation activities, TimeProvider time, ILogger<ClientRuntime> logger)
        : base(InProcessCluster.Of(cluster.Value.ClusterId, cluster.Value.ServiceId), "client", messaging.Value, time, logger, simulation.Value.Seed)
    {
        PropagateActivities = activities.IsEnabled;
        GrainFactory = new GrainFactory(this, services);
    }

    public GrainFactory GrainFactory { get; }

    public override SiloRuntime? Silo => null;

    public override bool IsGone => _gone;

    public void Start()
    {
        if (Cluster.ActiveSilos.IsEmpty)
        {
            throw new SiloUnavailableException(
                $"The cluster {Cluster.ClusterId} has no active silo in this process. The stand-in for Orleans works within one process; clusters of several processes need the genuine packages.");
        }
    }

    public void Stop() => _gone = true;
}
