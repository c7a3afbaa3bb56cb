using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>How a model looks after its replicas.</summary>
public sealed class ModelGrainOptions
{
    /// <summary>How often the model asks its workers what lives; failures are also reported at once.</summary>
    /// <value>Default 5 s: it only finds what no report told.</value>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:10:00")]
    public TimeSpan WatchPeriod { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a new activation lets routers keep lives it has not heard of: whoever wants them repeats it in that time.</summary>
    /// <value>Default 10 s: twice what silos take to notice that they were forgotten.</value>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:10:00")]
    public TimeSpan RecoveryTime { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>The pause before the second attempt to load a replica; it doubles with each further one. The first comes at once.</summary>
    /// <value>Default 1 s.</value>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:10:00")]
    public TimeSpan RetryPause { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest pause between attempts, and how long a life must last for its failures to be forgotten.</summary>
    /// <value>Default 30 s.</value>
    [Range(typeof(TimeSpan), "00:00:00.01", "01:00:00")]
    public TimeSpan MaxRetryPause { get; set; } = TimeSpan.FromSeconds(30);
}

[OptionsValidator]
internal sealed partial class ModelGrainOptionsValidator : IValidateOptions<ModelGrainOptions>;
