using System.Globalization;

namespace Granary.Client.Cli.Load;

/// <summary>A result for people.</summary>
internal static class LoadTable
{
    public static readonly (string Name, double Fraction)[] Percentiles = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

    public static void Write(TextWriter output, LoadResult result)
    {
        var settings = result.Settings;
        Line($"{settings.Model} at {settings.Url.GetLeftPart(UriPartial.Path).TrimEnd('/')}, {NameOf(settings.Endpoint)}, {DescribeLoop(settings)}, seed {settings.Seed}");
        Line($"{result.Requests:N0} requests in {result.Elapsed.TotalSeconds:0.00} s: {result.Succeeded:N0} answered, {result.Failed:N0} failed{(result.Interrupted ? "; stopped before the end" : "")}");
        foreach (var (kind, count) in result.Errors) Line($"  {count:N0} × {kind}");
        Line($"{result.PromptTokens:N0} prompt tokens, {result.CachedTokens:N0} of them cached; {result.CompletionTokens:N0} generated, in {result.Frames:N0} frames");
        output.WriteLine();
        Line($"{"ms",-14}{"p50",10}{"p90",10}{"p95",10}{"p99",10}{"max",10}{"mean",10}");
        Row("first token", result.FirstToken);
        Row("inter-token", result.InterToken);
        Row("end to end", result.EndToEnd);
        Row("sent late", result.SentAfter);
        output.WriteLine();
        Line($"{result.RequestsPerSecond:0.00} requests/s, {result.CompletionTokensPerSecond:0.0} generated tokens/s, {result.PromptTokensPerSecond:0.0} prompt tokens/s");
        if (DescribeGoals(settings) is { } goals) Line($"goodput ({goals}): {result.GoodPerSecond:0.00} requests/s, {100 * result.GoodFraction:0.0} % of all");

        void Row(string name, LatencyHistogram of) => Line(
            $"{name,-14}{Cell(of, 0.5)}{Cell(of, 0.9)}{Cell(of, 0.95)}{Cell(of, 0.99)}{Milliseconds(of, of.Max)}{Milliseconds(of, of.Mean)}");

        void Line(FormattableString text) => output.WriteLine(text.ToString(CultureInfo.InvariantCulture));
    }

    public static string NameOf(LoadEndpoint endpoint) => endpoint == LoadEndpoint.Chat ? "chat" : "completions";

    public static string NameOf(Arrivals arrivals) => arrivals == Arrivals.Poisson ? "poisson" : "constant";

    public static string DescribeLoop(LoadSettings settings) => settings.Rate is { } rate
        ? string.Create(CultureInfo.InvariantCulture, $"open loop of {rate}/s ({NameOf(settings.Arrivals)})")
        : string.Create(CultureInfo.InvariantCulture, $"closed loop of {settings.Concurrency}");

    /// <summary>Null where there are none.</summary>
    public static string? DescribeGoals(LoadSettings settings)
    {
        var goals = new List<string>();
        if (settings.SloFirstToken is { } first) goals.Add(string.Create(CultureInfo.InvariantCulture, $"first token ≤ {first.TotalMilliseconds} ms"));
        if (settings.SloInterToken is { } next) goals.Add(string.Create(CultureInfo.InvariantCulture, $"inter-token ≤ {next.TotalMilliseconds} ms"));
        return goals.Count == 0 ? null : string.Join(", ", goals);
    }

    private static string Cell(LatencyHistogram of, double fraction) => Milliseconds(of, of.Percentile(fraction));

    private static string Milliseconds(LatencyHistogram of, double seconds) =>
        of.Count == 0 ? $"{"–",10}" : (seconds * 1000).ToString("0.00", CultureInfo.InvariantCulture).PadLeft(10);
}
