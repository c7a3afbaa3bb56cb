using System.Diagnostics;
using System.Globalization;

namespace Granary.Tests.Benchmarks.Gateway;

internal sealed record Percentiles(double P50, double P90, double P99)
{
    public static Percentiles Of(double[] values)
    {
        Array.Sort(values);
        return values.Length == 0 ? new(double.NaN, double.NaN, double.NaN) : new(At(0.5), At(0.9), At(0.99));

        double At(double fraction) => values[(int)(fraction * (values.Length - 1))];
    }

    public string Text(string format) => string.Create(CultureInfo.InvariantCulture, $"{P50.ToString(format, CultureInfo.InvariantCulture)} / {P90.ToString(format, CultureInfo.InvariantCulture)} / {P99.ToString(format, CultureInfo.InvariantCulture)}");
}

/// <summary>One side at one rate. Times in milliseconds.</summary>
/// <param name="AddedFirstToken">Time to first token, without what the request spent in the engine from its submission to the end of its first step.</param>
/// <param name="WayIn">Of it, from sending to submission.</param>
/// <param name="TokenDelay">From the end of the step that made a token to its frame.</param>
/// <param name="BetweenTokens">Between frames of one answer; what the engine's steps take is in it.</param>
internal sealed record GatewayResult(
    string Side, int Rate, int Requests, double OfferedTokensPerSecond, double TokensPerSecond, double StepMilliseconds, Percentiles AddedFirstToken, Percentiles WayIn,
    Percentiles TokenDelay, Percentiles BetweenTokens, double ServerCpuMsPer1000, double? ClientCpuMsPer1000, double ServerCores, double? ClientCores, double BytesPerToken,
    int Gen0, int Gen1, int Gen2, double PauseMilliseconds)
{
    /// <summary>Too far behind for its latencies to be of a steady state.</summary>
    public bool IsSaturated => TokensPerSecond < 0.9 * OfferedTokensPerSecond;

    /// <param name="server">What the process that answered used up in the window.</param>
    /// <param name="client">What the client used up; null where there is none.</param>
    public static GatewayResult Of(string side, Load load, StepLog log, Trace[] traces, ProcessMark server, ProcessMark? client)
    {
        var window = client ?? server;
        var seconds = window.Timestamp / (double)Stopwatch.Frequency;
        var thousands = window.Tokens / 1000.0;
        var whole = traces.Where(trace => trace.Count == load.MaxTokens).ToArray();
        if (whole.Length != traces.Length) throw new InvalidOperationException($"{traces.Length - whole.Length} of {traces.Length} answers lack tokens.");
        return new(
            side, load.Rate, traces.Length, traces.Length * load.MaxTokens / seconds, window.Tokens / seconds, Steps(log, whole),
            Percentiles.Of([.. whole.Select(t => Milliseconds(log.SubmittedAt(t.Number) - t.Sent + t.Tokens[0] - log.ReadyAt(t.Number, 0)))]),
            Percentiles.Of([.. whole.Select(t => Milliseconds(log.SubmittedAt(t.Number) - t.Sent))]),
            Percentiles.Of([.. whole.SelectMany(t => t.Tokens.ToArray().Select((token, i) => Milliseconds(token - log.ReadyAt(t.Number, i))))]),
            Percentiles.Of([.. whole.SelectMany(t => t.Tokens[1..].ToArray().Zip(t.Tokens.ToArray(), (next, token) => Milliseconds(next - token)))]),
            server.CpuSeconds * 1000 / thousands, client?.CpuSeconds * 1000 / thousands, server.CpuSeconds / seconds, client?.CpuSeconds / seconds,
            server.AllocatedBytes / (double)window.Tokens, server.Gen0, server.Gen1, server.Gen2, server.PauseSeconds * 1000);
    }

    public const string Header =
        "side                 req/s  tokens/s  step ms  added first token ms p50/p90/p99  of it, the way in p50/p90/p99  token delay ms p50/p90/p99  between tokens ms p50/p90/p99  CPU ms/1000 tokens server, client  cores server, client  bytes/token  GC 0/1/2, pause ms";

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Side,-20}{Rate,6}{TokensPerSecond,10:F0}{StepMilliseconds,9:F2}{AddedFirstToken.Text("F2"),33}{WayIn.Text("F2"),34}{TokenDelay.Text("F2"),28}{BetweenTokens.Text("F1"),31}{$"{ServerCpuMsPer1000:F1}, {ClientCpuMsPer1000:F1}",34}{$"{ServerCores:F2}, {ClientCores:F2}",22}{BytesPerToken,13:F0}{$"{Gen0}/{Gen1}/{Gen2}, {PauseMilliseconds:F0}",20}{(IsSaturated ? "  saturated" : "")}");

    /// <summary>Mean time of a step while the measured requests ran.</summary>
    private static double Steps(StepLog log, Trace[] traces)
    {
        var times = traces.Select(t => Milliseconds(log.ReadyAt(t.Number, t.Count - 1) - log.ReadyAt(t.Number, 0)) / Math.Max(1, t.Count - 1));
        return times.Average();
    }

    private static double Milliseconds(long ticks) => ticks * 1000.0 / Stopwatch.Frequency;
}
