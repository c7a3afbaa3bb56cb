using System.Diagnostics;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>One run's arrivals.</summary>
/// <param name="Rate">Requests per second.</param>
/// <param name="MaxTokens">Tokens of each.</param>
/// <param name="WarmUp">Seconds before the window that is measured; the load is the same.</param>
/// <param name="Window">Seconds.</param>
/// <param name="FirstNumber">Number of the first request.</param>
internal sealed record Load(int Rate, int MaxTokens, double WarmUp, double Window, int FirstNumber, int Seed)
{
    /// <summary>The load goes on so long after the window, so that the last answers of the window begin under it.</summary>
    private const double Tail = 0.5;

    public static Load Parse(ReadOnlySpan<string> arguments) => arguments is [var rate, var tokens, var warmUp, var window, var number, var seed]
        ? new(Number(rate), Number(tokens), Real(warmUp), Real(window), Number(number), Number(seed))
        : throw new ArgumentException("A load is RATE TOKENS WARM-UP WINDOW FIRST-NUMBER SEED.");

    public string[] ToArguments() => [.. new IFormattable[] { Rate, MaxTokens, WarmUp, Window, FirstNumber, Seed }.Select(value => value.ToString(null, System.Globalization.CultureInfo.InvariantCulture))];

    /// <summary>Sends Poisson arrivals from the calling thread, whether or not answers come.</summary>
    /// <param name="send">Takes the request's number and whether it is measured.</param>
    /// <param name="window">Called when the window begins and when it ends.</param>
    public void Run(Action<int, bool> send, Action<string> window)
    {
        var random = new Random(Seed);
        var start = Stopwatch.GetTimestamp();
        var next = 0.0;
        var number = FirstNumber;
        var (begun, ended) = (false, false);
        while (true)
        {
            var now = Stopwatch.GetElapsedTime(start).TotalSeconds;
            if (!begun && now >= WarmUp) (begun, _) = (true, Tell(window, "begin"));
            if (!ended && now >= WarmUp + Window) (ended, _) = (true, Tell(window, "end"));
            if (now >= WarmUp + Window + Tail) return;
            while (next <= now)
            {
                send(number++, begun && !ended);
                next -= Math.Log(1 - random.NextDouble()) / Rate;
            }

            Thread.Sleep(1);
        }
    }

    private static bool Tell(Action<string> window, string what)
    {
        window(what);
        return true;
    }

    private static int Number(string text) => int.Parse(text, System.Globalization.CultureInfo.InvariantCulture);

    private static double Real(string text) => double.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>When a request was sent and each of its tokens came back.</summary>
internal sealed class Trace(int number, int maxTokens)
{
    private readonly long[] _tokens = new long[maxTokens];

    public int Number => number;

    public long Sent { get; set; }

    public int Count { get; private set; }

    public ReadOnlySpan<long> Tokens => _tokens.AsSpan(0, Count);

    public void Token(long timestamp) => _tokens[Count++] = timestamp;

    public static void Save(string path, IReadOnlyCollection<Trace> traces)
    {
        using var writer = new BinaryWriter(File.Create(path));
        writer.Write(traces.Count);
        foreach (var trace in traces)
        {
            writer.Write(trace.Number);
            writer.Write(trace.Sent);
            writer.Write(trace.Count);
            foreach (var token in trace.Tokens) writer.Write(token);
        }
    }

    public static Trace[] Load(string path)
    {
        using var reader = new BinaryReader(File.OpenRead(path));
        var traces = new Trace[reader.ReadInt32()];
        for (var i = 0; i < traces.Length; i++)
        {
            var (number, sent, count) = (reader.ReadInt32(), reader.ReadInt64(), reader.ReadInt32());
            traces[i] = new(number, count) { Sent = sent };
            for (var token = 0; token < count; token++) traces[i].Token(reader.ReadInt64());
        }

        return traces;
    }
}
