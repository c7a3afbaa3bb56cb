using Orleans.Runtime;
using Orleans.TestingHost;

namespace Orleans.StandIn.Simulation;

/// <summary>Faults between the members of a cluster, and of what they share.</summary>
public sealed class ClusterFaults(InProcessTestCluster cluster)
{
    private readonly InProcessCluster _cluster = InProcessCluster.Of(cluster.Options.ClusterId, cluster.Options.ServiceId);

    /// <summary>Messages that were lost so far.</summary>
    public long LostMessages => _cluster.Network.Lost;

    /// <summary>Has silos that are gone or do not answer declared dead. Before this, nobody is.</summary>
    /// <param name="clock">Of the world: of delays and of the membership's patience.</param>
    /// <param name="crashed">How long until a silo that is gone is declared dead.</param>
    /// <param name="silent">How long until one that does not answer is.</param>
    public void DetectFailures(TimeProvider clock, TimeSpan crashed, TimeSpan silent)
    {
        _cluster.Time = clock;
        _cluster.Failures.Start(crashed, silent);
    }

    /// <summary>Messages from one to the other are lost, not those back.</summary>
    /// <param name="from">Null for the client outside of the silos.</param>
    /// <param name="to">Likewise.</param>
    public void CutWay(InProcessSiloHandle? from, InProcessSiloHandle? to, bool cut = true) => _cluster.Network.CutWay(End(from), End(to), cut);

    /// <summary>Messages from one to the other arrive so much later; zero ends it.</summary>
    public void DelayWay(InProcessSiloHandle? from, InProcessSiloHandle? to, TimeSpan delay) => _cluster.Network.Delay(End(from), End(to), delay);

    /// <summary>Loses a share of all messages between members; 0 ends it.</summary>
    public void LoseMessages(double share, int seed) => _cluster.Network.Lose(share, seed);

    /// <summary>Every access to grain storage takes so long, and fails then where a failure is given.</summary>
    public void BreakStorage(TimeSpan delay, string? failure = null) => _cluster.Storage.Fault = (delay, failure);

    public void RepairStorage() => _cluster.Storage.Fault = default;

    /// <summary>Grain storage forgets everything.</summary>
    public void FlushStorage() => _cluster.Storage.Flush();

    private RuntimeClient End(InProcessSiloHandle? silo) => silo is null ? ((GrainFactory)cluster.Client).Client : SiloFaults.Runtime(silo);
}
