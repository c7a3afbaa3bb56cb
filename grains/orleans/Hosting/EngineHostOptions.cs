using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>How long a silo waits for its engines.</summary>
public sealed class EngineHostOptions
{
    /// <summary>Most time a new engine may take for its first token; a slower one counts as broken.</summary>
    /// <value>Default 60 s: a first step also pages weights in from disk.</value>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:30:00")]
    public TimeSpan ProbeTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>Time that running sequences get to end when their replica is unloaded or the silo stops; then they fail.</summary>
    /// <value>Default 20 s: less than the 30 s that a .NET host gives its services to stop.</value>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00")]
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>Time that every step gets before its engine counts as hung; more where the recent steps were long.</summary>
    /// <value>Default 30 s: far above any step that is worth waiting for. A device that hangs is not used again in its process.</value>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan HangFloor { get; set; } = TimeSpan.FromSeconds(30);
}

[OptionsValidator]
internal sealed partial class EngineHostOptionsValidator : IValidateOptions<EngineHostOptions>;
