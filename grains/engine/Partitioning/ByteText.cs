using System.Globalization;

namespace Granary.Engine.Partitioning;

/// <summary>Amounts of memory as people read them.</summary>
public static class ByteText
{
    private static readonly string[] Units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

    /// <summary>Three digits and a unit of 1024.</summary>
    public static string Of(long bytes)
    {
        var (value, unit) = ((double)bytes, 0);
        // Rounding must not give a fourth digit.
        while (Math.Abs(value) >= 999.5 && unit < Units.Length - 1) (value, unit) = (value / 1024, unit + 1);
        var format = unit == 0 || Math.Abs(value) >= 99.95 ? "0" : Math.Abs(value) >= 9.995 ? "0.0" : "0.00";
        return string.Create(CultureInfo.InvariantCulture, $"{value.ToString(format, CultureInfo.InvariantCulture)} {Units[unit]}");
    }
}
