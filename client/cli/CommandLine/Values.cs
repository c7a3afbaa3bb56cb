using System.CommandLine;
using System.Globalization;

namespace Granary.Client.Cli.CommandLine;

/// <summary>Options with bounds, read in the invariant culture whatever the machine's is.</summary>
internal static class Values
{
    public static Option<int?> Integer(string name, string description, int min, int max) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) && value >= min && value <= max) return value;
            result.AddError($"{name} is '{text}'; it must be a whole number from {min} to {max}.");
            return null;
        },
    };

    public static Option<long?> Long(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)) return value;
            result.AddError($"{name} is '{text}'; it must be a whole number of at most 64 bits.");
            return null;
        },
    };

    public static Option<double?> Number(string name, string description, string helpName, double min, double max) => new(name)
    {
        Description = description,
        HelpName = helpName,
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value >= min && value <= max) return value;
            result.AddError(string.Create(CultureInfo.InvariantCulture, $"{name} is '{text}'; it must be a number from {min} to {max}."));
            return null;
        },
    };
}
