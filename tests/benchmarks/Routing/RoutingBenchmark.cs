using System.Diagnostics;
using System.Globalization;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Routing;
using Granary.Routing.Kv;
using Granary.Routing.Policies;

namespace Granary.Tests.Benchmarks.Routing;

/// <summary>What a router's decision costs its processor, and its index of caches its memory.</summary>
internal static class RoutingBenchmark
{
    private const int BlockTokens = 16;
    private const int PromptBlocks = 25_000; // Of all prompts together, at least two prompts: more than a processor's caches hold.
    private const int CacheBlocks = 4_096; // Of others' prompts, in each replica.

    public static int Run(string[] args)
    {
        var output = Report.DefaultPath("routing");
        int[] replicas = [8, 64, 256, 1000], tokens = [1_000, 10_000, 100_000];
        var rounds = 400;
        for (var i = 0; i + 1 < args.Length; i += 2)
        {
            if (args[i] == "--output") output = args[i + 1];
            else if (args[i] == "--replicas") replicas = Numbers(args[i + 1]);
            else if (args[i] == "--tokens") tokens = Numbers(args[i + 1]);
            else if (args[i] == "--rounds") rounds = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
        }

        Console.WriteLine("| replicas | prompt tokens | in caches | decision µs p50 / p99 | with booking and release p50 / p99 |");
        Console.WriteLine("|---|---|---|---|---|");
        var decisions = new List<Decision>();
        foreach (var count in replicas)
        {
            foreach (var length in tokens)
            {
                foreach (var cached in Enum.GetValues<Cached>())
                {
                    var decision = Decide(count, length, cached, rounds);
                    decisions.Add(decision);
                    Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                        $"| {count} | {length} | {decision.Cached} | {decision.P50:F1} / {decision.P99:F1} | {decision.BookedP50:F1} / {decision.BookedP99:F1} |"));
                }
            }
        }

        Console.WriteLine();
        Console.WriteLine("| replicas × blocks | shared by | events/s on one core | bytes a block and replica |");
        Console.WriteLine("|---|---|---|---|");
        var indices = new List<Filled>();
        foreach (var (count, blocks, sharers) in new[] { (1, 100_000, 1), (8, 100_000, 1), (8, 100_000, 8), (64, 20_000, 1), (64, 20_000, 64), (1000, 5_000, 1), (1000, 5_000, 1000) })
        {
            var filled = Fill(count, blocks, sharers);
            indices.Add(filled);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {count} × {blocks} | {sharers} | {filled.EventsPerSecond / 1e6:F1} M | {filled.BytesPerBlock:F1} |"));
        }

        Report.Write(output, new { Decisions = decisions, Index = indices });
        return 0;
    }

    private static Decision Decide(int replicas, int tokens, Cached cached, int rounds)
    {
        var settings = new RoutingSettings();
        var table = new RoutingTable(settings, RoutingPolicies.Create(RoutingPolicies.Default, settings, new(1)), TimeProvider.System);
        var lives = Enumerable.Range(0, replicas).Select(i => new ReplicaLife($"silo-{i / 4}/gpu{i % 4}/model/{i}", 1)).ToArray();
        table.Adopt(lives.Select(life => new ReplicaDescriptor { Replica = life, ContextLength = 1 << 20, KvCapacityTokens = 1 << 24 }));
        var random = new Random(1);
        var requests = Enumerable.Range(0, Math.Clamp(PromptBlocks * BlockTokens / tokens, 2, 64)).Select(i => Request(random, i, tokens)).ToArray();
        for (var i = 0; i < replicas; i++)
        {
            var own = Names(random, CacheBlocks);
            ulong[] blocks = cached switch
            {
                Cached.Everywhere => [.. own, .. requests.SelectMany(request => request.Blocks)],
                Cached.HalfEverywhere => [.. own, .. requests.SelectMany((request, p) => p % replicas == i ? request.Blocks : request.Blocks[..(request.Blocks.Length / 2)])],
                _ => own,
            };
            table.Report(lives[i], new(Load(random), Stored(blocks)), 0);
        }

        var decided = Time(rounds, round => table.Decide(requests[round % requests.Length]));
        var booked = Time(rounds, round =>
        {
            var id = Guid.NewGuid();
            table.Route(requests[round % requests.Length], id, out _);
            table.Release(id);
        });
        return new(replicas, tokens, cached.ToString(), Statistics.Median(decided), Statistics.Percentile(decided, 0.99), Statistics.Median(booked), Statistics.Percentile(booked, 0.99));
    }

    private static Filled Fill(int replicas, int blocks, int sharers)
    {
        var random = new Random(1);
        var caches = new ulong[replicas][];
        for (var i = 0; i < replicas; i++) caches[i] = i % sharers == 0 ? Names(random, blocks) : caches[i - 1];
        var best = 0.0;
        var bytes = 0.0;
        for (var round = 0; round < 3; round++)
        {
            var index = new KvIndex();
            var numbers = caches.Select(_ => index.Add()).ToArray();
            var began = Stopwatch.GetTimestamp();
            for (var at = 0; at < blocks; at += 256) Each(index, numbers, caches, at, isStored: true);
            bytes = (double)index.Bytes / replicas / blocks;
            for (var at = 0; at < blocks; at += 256) Each(index, numbers, caches, at, isStored: false);
            best = Math.Max(best, 2.0 * replicas * blocks / Stopwatch.GetElapsedTime(began).TotalSeconds);
        }

        return new(replicas, blocks, sharers, best, bytes);
    }

    private static void Each(KvIndex index, int[] numbers, ulong[][] caches, int at, bool isStored)
    {
        for (var i = 0; i < numbers.Length; i++)
        {
            var some = caches[i][at..Math.Min(at + 256, caches[i].Length)];
            index.Apply(numbers[i], new() { First = 0, Next = 0, Runs = [new(isStored, KvTier.Device, some.Length)], Blocks = some });
        }
    }

    private static List<double> Time(int rounds, Action<int> action)
    {
        for (var round = 0; round < Math.Min(rounds, 100); round++) action(round);
        var times = new List<double>(rounds);
        for (var round = 0; round < rounds; round++)
        {
            var began = Stopwatch.GetTimestamp();
            action(round);
            times.Add(Stopwatch.GetElapsedTime(began).TotalMicroseconds);
        }

        return times;
    }

    private static RouteRequest Request(Random random, int id, int tokens) => new()
    {
        RequestId = $"r{id}",
        PromptTokens = tokens,
        MaxTokens = 100,
        PrefixHash = (ulong)random.NextInt64(),
        Blocks = Names(random, (tokens - 1) / BlockTokens),
        BlockTokens = BlockTokens,
    };

    private static ReplicaLoad Load(Random random) => new()
    {
        Epoch = 1,
        RunningSequences = random.Next(30),
        PendingPrefillTokens = random.Next(10_000),
        PendingPrefillSeconds = random.NextDouble(),
        SecondsPerPrefillToken = 1e-4,
        SecondsPerPrefillContext = 1e-9,
        SecondsPerDecodeStep = 0.01,
        KvBlocksTotal = 1 << 20,
    };

    private static ulong[] Names(Random random, int count)
    {
        var names = new ulong[count];
        for (var i = 0; i < count; i++) names[i] = (ulong)random.NextInt64();
        return names;
    }

    private static KvEvents Stored(ulong[] blocks) =>
        new() { First = 0, Next = blocks.Length, IsSnapshot = true, Runs = [new(true, KvTier.Device, blocks.Length)], Blocks = blocks };

    private static int[] Numbers(string text) => [.. text.Split(',').Select(part => int.Parse(part, CultureInfo.InvariantCulture))];

    /// <summary>Which caches have the prompts.</summary>
    private enum Cached
    {
        Nowhere,
        HalfEverywhere,
        Everywhere,
    }

    private sealed record Decision(int Replicas, int Tokens, string Cached, double P50, double P99, double BookedP50, double BookedP99);

    private sealed record Filled(int Replicas, int Blocks, int Sharers, double EventsPerSecond, double BytesPerBlock);
}
