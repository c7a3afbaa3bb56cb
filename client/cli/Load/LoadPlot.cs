using System.Globalization;
using System.Net;
using System.Text;

namespace Granary.Client.Cli.Load;

/// <summary>The three latencies as curves of how many were at most so long, in SVG.</summary>
/// <remarks>Each has its own axis, logarithmic in milliseconds, over what was measured; p50, p90 and p99 are marked and named, and so is a goal.</remarks>
internal static class LoadPlot
{
    private const double Width = 380;
    private const double Height = 260;
    private const double Left = 70;
    private const double Top = 96;
    private const double Step = Width + 80;
    private static readonly (string Name, double Fraction)[] Marks = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

    public static string Draw(LoadResult result)
    {
        var svg = new StringBuilder();
        var (width, height) = (Left + (3 * Step) - 40, Top + Height + 70);
        Add(svg, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">");
        Add(svg, $"<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>");
        var settings = result.Settings;
        Text(svg, Left, 28, $"{settings.Model}, {LoadTable.NameOf(settings.Endpoint)}, {LoadTable.DescribeLoop(settings)}", "font-size=\"17\" font-weight=\"bold\"");
        var figures = string.Create(
            CultureInfo.InvariantCulture,
            $"{result.Succeeded:N0} answers in {result.Elapsed.TotalSeconds:0.0} s, {result.Failed:N0} failures; {result.RequestsPerSecond:0.00} requests/s, {result.CompletionTokensPerSecond:0.0} tokens/s");
        if (LoadTable.DescribeGoals(settings) is { } goals)
            figures += string.Create(CultureInfo.InvariantCulture, $"; goodput ({goals}) {result.GoodPerSecond:0.00} requests/s");
        Text(svg, Left, 50, figures, "fill=\"#444\"");
        Panel(svg, 0, "First token", "#1f6fb4", result.FirstToken, settings.SloFirstToken);
        Panel(svg, 1, "Inter-token", "#2b8a3e", result.InterToken, settings.SloInterToken);
        Panel(svg, 2, "End to end", "#b3541e", result.EndToEnd, null);
        svg.Append("</svg>\n");
        return svg.ToString();
    }

    private static void Panel(StringBuilder svg, int index, string title, string colour, LatencyHistogram values, TimeSpan? goal)
    {
        var left = Left + (index * Step);
        Text(svg, left, Top - 12, title, "font-weight=\"bold\" font-size=\"14\"");
        Add(svg, $"<rect x=\"{left}\" y=\"{Top}\" width=\"{Width}\" height=\"{Height}\" fill=\"none\" stroke=\"#888\"/>");
        for (var percent = 0; percent <= 100; percent += 20)
        {
            Add(svg, $"<line x1=\"{left}\" x2=\"{left + Width}\" y1=\"{Y(percent / 100.0)}\" y2=\"{Y(percent / 100.0)}\" stroke=\"#ddd\"/>");
            Text(svg, left - 8, Y(percent / 100.0) + 4, $"{percent} %", "text-anchor=\"end\" fill=\"#444\"");
        }

        Text(svg, left + (Width / 2), Top + Height + 44, "milliseconds, logarithmic", "text-anchor=\"middle\" fill=\"#444\"");
        if (index == 0)
            Add(svg, $"<text transform=\"translate({left - 52} {Top + (Height / 2)}) rotate(-90)\" text-anchor=\"middle\" fill=\"#444\">share at most so long</text>");
        if (values.Count == 0)
        {
            Text(svg, left + (Width / 2), Top + (Height / 2), "nothing measured", "text-anchor=\"middle\" fill=\"#888\"");
            return;
        }

        var axis = LogAxis.Over(values.Min * 1000, values.Max * 1000);
        foreach (var tick in axis.Ticks())
        {
            Add(svg, $"<line x1=\"{X(tick)}\" x2=\"{X(tick)}\" y1=\"{Top}\" y2=\"{Top + Height}\" stroke=\"#ddd\"/>");
            Text(svg, X(tick), Top + Height + 18, tick.ToString("0.####", CultureInfo.InvariantCulture), "text-anchor=\"middle\" fill=\"#444\"");
        }

        if (goal?.TotalMilliseconds is { } limit && limit >= axis.From && limit <= axis.To)
        {
            Add(svg, $"<line x1=\"{X(limit)}\" x2=\"{X(limit)}\" y1=\"{Top}\" y2=\"{Top + Height}\" stroke=\"#c2255c\" stroke-dasharray=\"5 4\"/>");
            Text(svg, X(limit), Top - 12, "goal", "text-anchor=\"middle\" fill=\"#c2255c\"");
        }

        // A curve of steps: the share rises at each duration measured.
        var curve = new StringBuilder(string.Create(CultureInfo.InvariantCulture, $"M{X(values.Min * 1000):0.##} {Y(0):0.##}"));
        foreach (var (seconds, fraction) in values.Cumulative())
            curve.Append(CultureInfo.InvariantCulture, $"H{X(seconds * 1000):0.##}V{Y(fraction):0.##}");
        Add(svg, $"<path d=\"{curve}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        for (var i = 0; i < Marks.Length; i++)
        {
            var (name, fraction) = Marks[i];
            var milliseconds = values.Percentile(fraction) * 1000;
            Add(svg, $"<circle cx=\"{X(milliseconds):0.##}\" cy=\"{Y(fraction):0.##}\" r=\"4\" fill=\"{colour}\" stroke=\"white\"/>");
            // Beside each other in the foot's corner: at the curve they would cover it, and each other.
            Text(svg, left + Width - 8, Top + Height - 12 - ((Marks.Length - 1 - i) * 16), string.Create(CultureInfo.InvariantCulture, $"{name} {Legible(milliseconds)} ms"), $"text-anchor=\"end\" fill=\"{colour}\" stroke=\"white\" stroke-width=\"4\" paint-order=\"stroke\"");
        }

        double X(double milliseconds) => left + (Width * axis.Position(milliseconds));
    }

    private static double Y(double fraction) => Top + (Height * (1 - fraction));

    private static string Legible(double value) => value.ToString(value >= 100 ? "0" : value >= 10 ? "0.0" : "0.00", CultureInfo.InvariantCulture);

    private static void Text(StringBuilder svg, double x, double y, string text, string attributes) =>
        Add(svg, $"<text x=\"{x:0.##}\" y=\"{y:0.##}\" {attributes}>{WebUtility.HtmlEncode(text)}</text>");

    private static void Add(StringBuilder svg, FormattableString line) => svg.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');
}
