using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.DependencyInjection;
#if SIMULATED
using Orleans.StandIn.Simulation;
#endif

namespace Granary.Tests.Chaos;

/// <summary>What can happen to it. On genuine packages only what a host can do to itself.</summary>
internal sealed partial class ChaosCluster
{
#if SIMULATED
    private ClusterFaults _faults = null!; // Set before the first fault.

    /// <summary>Of the members and of what they share.</summary>
    public ClusterFaults Faults => _faults;

    /// <summary>kill -9: the process says nothing more, and nobody says it for it.</summary>
    public void Crash(int number)
    {
        var silo = _silos[number];
        silo.IsGone = true;
        silo.Clock.Freeze(); // First: no thread of it may do anything more.
        silo.Handle.Crash();
    }

    /// <summary>SIGSTOP.</summary>
    public void Freeze(int number)
    {
        _silos[number].Clock.Freeze();
        _silos[number].Handle.Freeze();
    }

    /// <summary>SIGCONT; a silo that was declared dead meanwhile ends itself.</summary>
    public void Thaw(int number)
    {
        _silos[number].Clock.Thaw();
        _silos[number].Handle.Thaw();
    }

    public void CutOff(int number) => _silos[number].Handle.CutOff();

    public void Reconnect(int number) => _silos[number].Handle.Reconnect();

    /// <summary>Cuts the way from one member to another, not back; -1 is the client outside.</summary>
    public void CutWay(int from, int to, bool cut = true) =>
        _faults.CutWay(from < 0 ? null : _silos[from].Handle, to < 0 ? null : _silos[to].Handle, cut);

    /// <summary>All routers end without a word; the next that is asked of one starts anew.</summary>
    public void LoseRouters()
    {
        foreach (var silo in _silos.Where(silo => !silo.IsGone))
        {
            foreach (var key in RouterKeys) silo.Handle.Lose(Grains.GetGrain<IRouterGrain>(key));
        }
    }

    /// <summary>The number of the silo that has a router now.</summary>
    /// <param name="silo">Whose; null for the one that clients outside share.</param>
    public int FindRouter(string? silo) =>
        _silos.FindIndex(one => !one.IsGone && one.Handle.HasActivation(Grains.GetGrain<IRouterGrain>(GrainKeys.Router(silo, Model))));

    private static bool IsGone(ChaosSilo silo) =>
        silo.IsGone || silo.Services.GetRequiredService<Orleans.Runtime.ISiloStatusOracle>().CurrentStatus == Orleans.Runtime.SiloStatus.Dead;

    private void EndFaults()
    {
        _faults.LoseMessages(0, 0);
        _faults.RepairStorage();
        for (var n = 0; n < _silos.Count; n++)
        {
            if (_silos[n].IsGone) continue;
            Reconnect(n);
            if (_silos[n].Clock.IsFrozen) Thaw(n);
        }

        ChaosSilo?[] ends = [null, .. _silos.Where(silo => !silo.IsGone)];
        foreach (var from in ends)
        {
            foreach (var to in ends.Where(to => to != from))
            {
                _faults.CutWay(from?.Handle, to?.Handle, cut: false);
                _faults.DelayWay(from?.Handle, to?.Handle, TimeSpan.Zero);
            }
        }
    }

    /// <summary>As measured of genuine silos with our settings: a crash is found within 0.6 to 1.1 s, silence within 4.2.</summary>
    private void DetectFailures()
    {
        _faults = new ClusterFaults(_cluster);
        _faults.DetectFailures(Time, crashed: TimeSpan.FromMilliseconds(1100), silent: TimeSpan.FromMilliseconds(4200));
    }

    private static void SetSeed(IServiceCollection services, int seed) => services.Configure<SimulationOptions>(simulation => simulation.Seed = seed);
#else
    private static bool IsGone(ChaosSilo silo) => silo.IsGone;

    public void Crash(int number) => throw NotHere();

    public void Freeze(int number) => throw NotHere();

    public void Thaw(int number) => throw NotHere();

    public void CutOff(int number) => throw NotHere();

    public void Reconnect(int number) => throw NotHere();

    public void LoseRouters() => throw NotHere();

    public int FindRouter(string? silo) => throw NotHere();

    private static NotSupportedException NotHere() => new("Only the simulated cluster has this fault.");

    private void EndFaults()
    {
    }

    private void DetectFailures()
    {
    }

    private static void SetSeed(IServiceCollection services, int seed)
    {
    }
#endif
}
