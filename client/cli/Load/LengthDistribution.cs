using System.Globalization;

namespace Granary.Client.Cli.Load;

/// <summary>A number of tokens: one, or any of a range with equal chance.</summary>
/// <param name="Min">At least 1.</param>
/// <param name="Max">Inclusive.</param>
internal readonly record struct LengthDistribution(int Min, int Max)
{
    public const int Largest = 1 << 20;

    /// <param name="text"><c>N</c> or <c>N-M</c>, from 1 to <see cref="Largest"/>.</param>
    public static bool TryParse(string text, out LengthDistribution lengths)
    {
        var parts = text.Split('-');
        lengths = default;
        if (parts.Length is < 1 or > 2 || !TryParseLength(parts[0], out var min) || !TryParseLength(parts[^1], out var max) || max < min) return false;
        lengths = new LengthDistribution(min, max);
        return true;
    }

    public int Draw(Random random) => random.Next(Min, Max + 1);

    public override string ToString() => Min == Max ? Min.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{Min}-{Max}");

    public static bool TryParseLength(string text, out int length) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out length) && length is >= 1 and <= Largest;
}
