using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime;
using Orleans.TestingHost;

namespace Orleans.StandIn.Simulation;

/// <summary>Faults that the genuine test cluster cannot cause in one process.</summary>
public static class SiloFaults
{
    /// <summary>No code of the silo's grains runs until it is thawed, as on a frozen machine; messages to it wait.</summary>
    public static void Freeze(this InProcessSiloHandle silo) => Runtime(silo).Pause(true);

    public static void Thaw(this InProcessSiloHandle silo) => Runtime(silo).Pause(false);

    /// <summary>Messages between the silo and everybody else are lost until it is reconnected; both sides keep running.</summary>
    public static void CutOff(this InProcessSiloHandle silo) => Cut(silo, true);

    public static void Reconnect(this InProcessSiloHandle silo) => Cut(silo, false);

    /// <summary>The membership declares the silo dead, as probes of a hung silo end; its host is not stopped.</summary>
    public static void Evict(this InProcessSiloHandle silo) => Runtime(silo).Kill();

    private static void Cut(InProcessSiloHandle silo, bool cut) => Runtime(silo).Cluster.Cut(Runtime(silo), cut);

    private static SiloRuntime Runtime(InProcessSiloHandle silo) => silo.ServiceProvider.GetRequiredService<SiloRuntime>();
}
