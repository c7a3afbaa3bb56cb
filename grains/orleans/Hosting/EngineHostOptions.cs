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
}

[OptionsValidator]
internal sealed partial class EngineHostOptionsValidator : IValidateOptions<EngineHostOptions>;
