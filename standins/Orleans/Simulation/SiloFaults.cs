using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime;
using Orleans.TestingHost;

namespace Orleans.StandIn.Simulation;

/// <summary>Faults of one silo that the genuine test cluster cannot cause in one process.</summary>
public static class SiloFaults
{
    /// <summary>No code of the silo's grains runs until it is thawed, as on a frozen machine; messages to it wait.</summary>
    public static void Freeze(this InProcessSiloHandle silo) => Runtime(silo).Pause(true);

    /// <summary>A silo that was declared dead meanwhile finds it out and ends its host.</summary>
    public static void Thaw(this InProcessSiloHandle silo) => Runtime(silo).Pause(false);

    /// <summary>Messages between the silo and everybody else are lost until it is reconnected; both sides keep running.</summary>
    public static void CutOff(this InProcessSiloHandle silo) => Runtime(silo).Cluster.Network.CutOff(Runtime(silo), true);

    public static void Reconnect(this InProcessSiloHandle silo) => Runtime(silo).Cluster.Network.CutOff(Runtime(silo), false);

    /// <summary>The membership declares the silo dead, as probes of a hung silo end; its host is not stopped.</summary>
    public static void Evict(this InProcessSiloHandle silo) => Runtime(silo).Kill();

    /// <summary>The silo ends as by kill -9: it says nothing more, who calls it anew is refused, and the membership finds out by itself or by <see cref="Evict"/>.</summary>
    /// <remarks>Its host stays and has to be stopped, which ends what else it runs.</remarks>
    public static void Crash(this InProcessSiloHandle silo) => Runtime(silo).Crash();

    /// <summary>Whether the grain is active on the silo now.</summary>
    public static bool HasActivation(this InProcessSiloHandle silo, IAddressable grain)
    {
        ArgumentNullException.ThrowIfNull(grain);
        return Runtime(silo).Cluster.FindActivation(((GrainReference)grain).GrainId)?.Silo == Runtime(silo);
    }

    /// <summary>The grain's activation is lost, without a word to itself; the next call makes another.</summary>
    public static void Lose(this InProcessSiloHandle silo, IAddressable grain)
    {
        ArgumentNullException.ThrowIfNull(grain);
        Runtime(silo).Lose(((GrainReference)grain).GrainId);
    }

    internal static SiloRuntime Runtime(InProcessSiloHandle silo) => silo.ServiceProvider.GetRequiredService<SiloRuntime>();
}
