using System.Globalization;
using Microsoft.Extensions.Options;

namespace Granary.Client;

/// <summary>Finds every value that is out of its bounds, and names option, value and bound.</summary>
internal sealed class SurvivalOptionsValidator : IValidateOptions<SurvivalOptions>
{
    private static readonly TimeSpan LeastLimit = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan MostLimit = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan MostWait = TimeSpan.FromHours(24);

    public ValidateOptionsResult Validate(string? name, SurvivalOptions options)
    {
        var failures = Find(options).ToList();
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }

    public static IEnumerable<string> Find(SurvivalOptions options)
    {
        if (options.MaxLives is < 1 or > 64) yield return Say(nameof(options.MaxLives), options.MaxLives, "from 1 to 64");
        if (options.MaxWait < TimeSpan.Zero || options.MaxWait > MostWait)
            yield return Say(nameof(options.MaxWait), options.MaxWait, $"from {TimeSpan.Zero} to {MostWait}");
        if (options.StallSteps is not (>= 1.5 and <= 1000)) yield return Say(nameof(options.StallSteps), options.StallSteps, "from 1.5 to 1000");
        (string, TimeSpan)[] limits =
        [
            (nameof(options.SilenceLimit), options.SilenceLimit), (nameof(options.StallLimit), options.StallLimit),
            (nameof(options.WarmUpLimit), options.WarmUpLimit), (nameof(options.AnswerLimit), options.AnswerLimit),
        ];
        foreach (var (option, value) in limits)
        {
            if (value < LeastLimit || value > MostLimit) yield return Say(option, value, $"from {LeastLimit} to {MostLimit}");
        }
    }

    private static string Say(string option, object value, string bound) =>
        string.Create(CultureInfo.InvariantCulture, $"{nameof(SurvivalOptions)}.{option} is {value}; it must be {bound}.");
}
