using Granary.Client;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.TestingHost;

namespace Granary.Tests.Chaos;

/// <summary>One silo of a scenario, in one life: its host, its clock, and the gateway in it.</summary>
internal sealed class ChaosSilo
{
    public ChaosSilo(InProcessSiloHandle handle, ProcessTime clock)
    {
        (Handle, Clock) = (handle, clock);
        Generation = ActivatorUtilities.CreateInstance<GrainGenerationClient>(handle.ServiceProvider, handle.Name);
    }

    public string Name => Handle.Name;

    public InProcessSiloHandle Handle { get; }

    public ProcessTime Clock { get; }

    /// <summary>As the gateway in this silo asks.</summary>
    public IGenerationClient Generation { get; }

    public IServiceProvider Services => Handle.ServiceProvider;

    public IGrainFactory Grains => Services.GetRequiredService<IGrainFactory>();

    /// <summary>It was crashed or stopped: nothing is expected of it any more.</summary>
    public bool IsGone { get; set; }
}
