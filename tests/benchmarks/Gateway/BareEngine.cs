using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Granary.Engine;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>The process that reads the engine's own handles under the same arrivals: no grain, no text, no HTTP.</summary>
internal static class BareEngine
{
    /// <summary>Arguments: milliseconds of a step, file for the traces, file for the steps, load.</summary>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var log = new StepLog();
        await using var engine = SimulatedReplica.Start(TimeSpan.FromMilliseconds(int.Parse(arguments[0], CultureInfo.InvariantCulture)), log);
        var load = Load.Parse(arguments.AsSpan(3));
        var measured = new List<Trace>();
        var all = new List<Task>();
        var arrived = 0L;
        load.Run(
            (number, isMeasured) =>
            {
                var trace = new Trace(number, load.MaxTokens);
                if (isMeasured) measured.Add(trace);
                trace.Sent = Stopwatch.GetTimestamp();
                all.Add(Task.Run(() => ReadAsync(trace)));
            },
            what => Console.WriteLine($"{what} {JsonSerializer.Serialize(ProcessMark.Now(Interlocked.Read(ref arrived)))}"));
        await Task.WhenAll(all);
        Trace.Save(arguments[1], measured);
        log.Save(arguments[2]);
        return 0;

        async Task ReadAsync(Trace trace)
        {
            var request = new EngineRequest
            {
                RequestId = "bare",
                PromptTokenIds = Prompt.Of(trace.Number),
                Sampling = new() { MaxTokens = load.MaxTokens, Temperature = 0 },
            };
            await using var handle = engine.TrySubmit(request, out var refusal) ?? throw new InvalidOperationException(refusal!.Message);
            while (await handle.WaitToReadAsync())
            {
                while (handle.TryRead(out _))
                {
                    trace.Token(Stopwatch.GetTimestamp());
                    Interlocked.Increment(ref arrived);
                }
            }
        }
    }
}
