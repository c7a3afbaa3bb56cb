using System.Globalization;
using System.Text;

namespace Granary.Tests.Benchmarks.Replay;

/// <summary>Draws the time to the first token (90th percentile) over the load, a line for each policy, as SVG.</summary>
internal static class FirstTokenChart
{
    private const int Width = 720;
    private const int Height = 420;
    private const int Left = 60;
    private const int Bottom = 50;
    private const int Legend = 140;

    private static readonly string[] Colors = ["#d62728", "#1f77b4", "#17becf", "#2ca02c", "#9467bd", "#8c564b", "#7f7f7f", "#bcbd22", "#e377c2"];

    public static void Write(string path, string title, IReadOnlyList<ReplayBenchmark.Row> rows)
    {
        var (least, most) = (rows.Min(row => row.Load), rows.Max(row => row.Load));
        var (low, high) = (Math.Log10(rows.Min(row => row.Result.FirstToken.P90)) - 0.1, Math.Log10(rows.Max(row => row.Result.FirstToken.P90)) + 0.1);
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{Height}\" font-family=\"sans-serif\" font-size=\"11\">\n");
        svg.Append("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"18\" font-size=\"12\">p90 of the first token, seconds; {title}</text>\n");
        foreach (var load in rows.Select(row => row.Load).Distinct())
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(load):F0}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{load}</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{(Left + Width - Legend) / 2}\" y=\"{Height - 12}\" text-anchor=\"middle\">times the trace's own rate</text>\n");
        for (var tick = Math.Ceiling(low * 5) / 5; tick <= high; tick += 0.2)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<path d=\"M{Left} {Y(tick):F0}H{Width - Legend}\" stroke=\"#ddd\"/>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left - 6}\" y=\"{Y(tick) + 4:F0}\" text-anchor=\"end\">{Math.Pow(10, tick):0.###}</text>\n");
        }

        var place = 0;
        foreach (var policy in rows.GroupBy(row => row.Policy))
        {
            var color = Colors[place % Colors.Length];
            var points = string.Join(' ', policy.Select(row => string.Create(CultureInfo.InvariantCulture, $"{X(row.Load):F1},{Y(Math.Log10(row.Result.FirstToken.P90)):F1}")));
            svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{(place == 0 ? 3 : 1.5)}\"/>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Width - Legend + 12}\" y=\"{50 + place++ * 18}\" fill=\"{color}\">{policy.Key}</text>\n");
        }

        File.WriteAllText(path, svg.Append("</svg>\n").ToString());
        Console.WriteLine($"Drawn to {path}");

        double X(double load) => most > least ? Left + 20 + (load - least) / (most - least) * (Width - Legend - Left - 40) : (Left + Width - Legend) / 2.0;
        double Y(double log) => Height - Bottom - (log - low) / (high - low) * (Height - Bottom - 40);
    }
}
