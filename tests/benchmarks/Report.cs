using System.Text.Json;

namespace Granary.Tests.Benchmarks;

/// <summary>Results as a file for machines.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static string DefaultPath(string benchmark) => Path.Combine("artifacts", "benchmarks", benchmark + ".json");

    public static void Write<T>(string path, T results)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        File.WriteAllText(path, JsonSerializer.Serialize(results, Indented));
        Console.WriteLine($"Written to {path}");
    }
}

internal static class Statistics
{
    public static double Median(IReadOnlyCollection<double> values) => Percentile(values, 0.5);

    /// <summary>Linear between the two nearest of the sorted values.</summary>
    public static double Percentile(IReadOnlyCollection<double> values, double fraction)
    {
        var sorted = values.Order().ToArray();
        var place = fraction * (sorted.Length - 1);
        var below = (int)place;
        var above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + ((place - below) * (sorted[above] - sorted[below]));
    }
}
