using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Sampling;
using Granary.Sharding.Links;
using Granary.Tests.Support;

namespace Granary.Tests.Benchmarks;

/// <summary>How long callers wait for their error after a fault in a replica of two stages and two ranks, and until nothing of it is left.</summary>
/// <remarks>Links, runners, executor and engine are the real ones with their default bounds; the shards compute little, so a fault meets a step at any place.</remarks>
internal static class FaultBenchmark
{
    private const int Seed = 1;
    private const int Sequences = 32;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly LinkOptions Options = new() { ClusterSecret = RandomNumberGenerator.GetBytes(32) };

    private static readonly (string Name, Func<FaultyTransport[], Random, int> Lay)[] Faults =
    [
        ("kill a shard", (transports, random) => AnyShard(transports, random).Cut(_ => true)),
        ("freeze a shard", (transports, random) => AnyShard(transports, random).Freeze(_ => true)),
        ("freeze the engine", (transports, _) => transports[^1].Freeze(_ => true)),
        ("cut an activations link", (transports, random) => transports[random.Next(4)].Cut(link => link.Purpose == LinkPurpose.Activations)),
        ("cut a reduction link", (transports, random) => transports[random.Next(4)].Cut(link => link.Purpose == LinkPurpose.Reduction)),
        ("cut a control link", (transports, random) => transports[random.Next(4)].Cut(link => link.Purpose == LinkPurpose.Control)),
        ("corrupt a partial sum", (transports, random) => transports[random.Next(4)].CorruptNextFrame(link => link.Purpose == LinkPurpose.Reduction, random.Next(64))),
        ("corrupt activations", (transports, random) => transports[random.Next(2)].CorruptNextFrame(link => link.Purpose == LinkPurpose.Activations, random.Next(64))),
    ];

    public static async Task<int> RunAsync(string[] args)
    {
        var (output, rounds) = (Report.DefaultPath("faults"), 20);
        for (var i = 0; i + 1 < args.Length; i += 2)
        {
            if (args[i] == "--output") output = args[i + 1];
            else if (args[i] == "--rounds") rounds = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
        }

        var random = new Random(Seed);
        var results = new List<Result>();
        Console.WriteLine($"{Sequences} sequences over 2×2 simulated shards, Unix sockets, silence limit {Options.SilenceLimit.TotalSeconds} s; seed {Seed}, {rounds} rounds each");
        Console.WriteLine("| fault | all callers told, ms: median / most | everything gone, ms: median / most |");
        Console.WriteLine("|---|---|---|");
        foreach (var (name, lay) in Faults)
        {
            var (told, gone) = (new List<double>(), new List<double>());
            for (var round = 0; round < rounds; round++)
            {
                var (toldAfter, goneAfter) = await MeasureAsync(lay, random);
                told.Add(toldAfter.TotalMilliseconds);
                gone.Add(goneAfter.TotalMilliseconds);
            }

            results.Add(new(name, Statistics.Median(told), told.Max(), Statistics.Median(gone), gone.Max()));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {results[^1].ToldMedian:0} / {results[^1].ToldMost:0} | {results[^1].GoneMedian:0} / {results[^1].GoneMost:0} |"));
        }

        Report.Write(output, results);
        return 0;
    }

    private static async Task<(TimeSpan Told, TimeSpan Gone)> MeasureAsync(Func<FaultyTransport[], Random, int> lay, Random random)
    {
        var model = new SimulatedModel();
        using var folder = new TemporaryFolder();
        FaultyTransport[] transports = [.. Enumerable.Range(0, 5).Select(_ => new FaultyTransport(Options, TimeProvider.System))];
        await using var cluster = await ShardCluster.StartAsync(
            model.Cut(2, 2), (slice, reducer) => new SimulatedShard(model, slice, 2, reducer), n => transports[n], n => $"unix:{Path.Combine(folder.Path, n.ToString(CultureInfo.InvariantCulture))}");
        var engine = InferenceEngine.Start(new(), cluster.Executor);
        await using (engine)
        {
            var callers = Enumerable.Range(0, Sequences).Select(n => Generate(engine, n)).ToArray();
            foreach (var (began, _) in callers) await began.WaitAsync(Patience);
            var since = Stopwatch.GetTimestamp();
            if (lay(transports, random) == 0) throw new InvalidOperationException("The fault met no link.");
            foreach (var (_, ended) in callers) await ended.WaitAsync(Patience);
            var told = Stopwatch.GetElapsedTime(since);
            await cluster.Ended().WaitAsync(Patience);
            foreach (var reader in cluster.Executor.Readers) reader.Join();
            var gone = Stopwatch.GetElapsedTime(since);
            await engine.DisposeAsync();
            if (transports.Sum(transport => transport.OpenLinks) is var open and > 0) throw new InvalidOperationException($"{open} links are left.");
            return (told, gone);
        }
    }

    /// <summary>Begins a sequence that has no end but an error.</summary>
    private static (Task Began, Task Ended) Generate(InferenceEngine engine, int number)
    {
        var request = new EngineRequest
        {
            RequestId = $"{number}",
            PromptTokenIds = [number, 2, 3],
            Sampling = new SamplingParameters { MaxTokens = 1000, Seed = (ulong)number },
        };
        var handle = engine.TrySubmit(request, out var refusal) ?? throw new InvalidOperationException(refusal!.Message);
        var began = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return (began.Task, ReadAsync());

        async Task ReadAsync()
        {
            try
            {
                while (await handle.WaitToReadAsync())
                {
                    while (handle.TryRead(out _)) began.TrySetResult();
                }

                throw new InvalidOperationException("The sequence ended without an error.");
            }
            catch (StepFailedException)
            {
                began.TrySetResult();
            }
        }
    }

    private static FaultyTransport AnyShard(FaultyTransport[] transports, Random random) => transports[random.Next(4)];

    private sealed record Result(string Fault, double ToldMedian, double ToldMost, double GoneMedian, double GoneMost);
}
