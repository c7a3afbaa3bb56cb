using System.Globalization;
using Granary.Engine.Simulation;
using Granary.Routing.Policies;
using Granary.Tests.Support;
using Granary.Tests.Support.Replay;

namespace Granary.Tests.Benchmarks.Replay;

/// <summary>Replays public traces in a simulated cluster, with each policy at equal load.</summary>
internal static class ReplayBenchmark
{
    public static int Run(string[] args)
    {
        if (SharedData.Root is null)
        {
            Console.Error.WriteLine("The folder shared/data with the traces does not stand beside the project.");
            return 1;
        }

        var output = Report.DefaultPath("replay");
        var policies = RoutingPolicies.Names.ToArray();
        string[] traces = ["mooncake", "azure"];
        var restarts = true;
        var offsets = 0;
        for (var i = 0; i + 1 < args.Length; i += 2)
        {
            if (args[i] == "--output") output = args[i + 1];
            else if (args[i] == "--policies") policies = args[i + 1].Split(',');
            else if (args[i] == "--traces") traces = args[i + 1].Split(',');
            else if (args[i] == "--restarts") restarts = bool.Parse(args[i + 1]);
            else if (args[i] == "--offsets") offsets = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
        }

        var mooncake = Traces.Mooncake(SharedData.Path("traces", "mooncake", "synthetic_trace.jsonl"));
        var azure = Traces.Azure(SharedData.Path("traces", "azure", "AzureLLMInferenceTrace_code.csv"), seed: 1);
        if (offsets > 0)
        {
            Report.Write(output, new { Offsets = ReplayOffsets.Run(Setups(mooncake, azure).Where(setup => traces.Contains(setup.Trace.Name)), policies, offsets) });
            return 0;
        }

        var rows = new List<Row>();
        foreach (var setup in Setups(mooncake, azure).Where(setup => traces.Contains(setup.Trace.Name)))
        {
            Print(setup, policies, rows);
            var chart = rows.Where(row => row.Setup == setup.Title).ToList();
            FirstTokenChart.Write(Path.ChangeExtension(output, $".{setup.Trace.Name}-{setup.Replicas}.svg"), setup.Title, chart);
        }

        var losses = restarts && traces.Contains("mooncake") ? Losses(mooncake) : [];
        Report.Write(output, new { Rows = rows, Losses = losses });
        return 0;
    }

    private static IEnumerable<Setup> Setups(Trace mooncake, Trace azure) =>
    [
        new(mooncake, DeviceCosts.Llama8BOnH100, 8, 10_000, [2, 3, 4]),
        new(mooncake, DeviceCosts.Llama8BOnH100, 16, 10_000, [8]),
        new(mooncake, DeviceCosts.MiniMaxM2OnFourH200, 32, 40_000, [8]),
        new(azure, DeviceCosts.Llama8BOnH100, 8, 40_000, [15, 30]),
    ];

    private static void Print(Setup setup, string[] policies, List<Row> rows)
    {
        var oracle = setup.Trace.OracleReuse(setup.Blocks);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"\n{setup.Title}: one LRU of all {setup.Blocks} blocks reuses {oracle:F4}, an infinite one {setup.Trace.OracleReuse(int.MaxValue):F4}\n"));
        Console.WriteLine("| load | policy | reuse | of the oracle | first token s p50 / p90 / p99 | between tokens ms p50 / p90 / p99 | goodput | imbalance |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        foreach (var load in setup.Loads)
        {
            var trace = setup.Trace.AtLoad(load);
            foreach (var policy in policies)
            {
                var result = ReplaySimulator.Run(trace, setup.Settings with { Policy = policy });
                rows.Add(new(setup.Title, load, policy, result, result.Reuse / oracle));
                var (first, gap) = (result.FirstToken, result.BetweenTokens);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"| {load} | {policy} | {result.Reuse:F4} | {result.Reuse / oracle:F2} | {first.P50:F3} / {first.P90:F3} / {first.P99:F2} | {gap.P50 * 1e3:F1} / {gap.P90 * 1e3:F1} / {gap.P99 * 1e3:F0} | {result.Goodput:F3} | {result.Imbalance:F2} |"));
            }
        }
    }

    /// <summary>What routers and replicas that are lost cost: reuse of the minute that begins 5 s after, beside the same minutes without a loss. Means over losses at several moments.</summary>
    private static List<Loss> Losses(Trace mooncake)
    {
        double[] moments = [100, 130, 160, 190, 220, 250];
        var setup = new Setup(mooncake, DeviceCosts.Llama8BOnH100, 8, 10_000, [3]);
        var trace = mooncake.AtLoad(3);
        Console.WriteLine("\n| lost | reuse in the minute from 5 s after | the same minutes without a loss | blocks believed in a cache that never had them |");
        Console.WriteLine("|---|---|---|---|");
        var unharmed = ReplaySimulator.Run(trace, setup.Settings);
        var losses = new List<Loss>();
        foreach (var (what, lose) in new (string, Func<double, ReplaySettings>)[]
        {
            ("all routers", at => setup.Settings with { RoutersLostAt = at }),
            ("one replica of 8", at => setup.Settings with { Kills = [(at, 3)] }),
            ("two replicas and all routers", at => setup.Settings with { Kills = [(at, 1), (at + 0.2, 6)], RoutersLostAt = at + 1 }),
        })
        {
            var results = moments.Select(at => (At: at, Result: ReplaySimulator.Run(trace, lose(at)))).ToList();
            var loss = new Loss(
                what, results.Average(each => each.Result.ReuseBetween(each.At + 5, each.At + 65)),
                moments.Average(at => unharmed.ReuseBetween(at + 5, at + 65)), results.Sum(each => each.Result.NeverStored));
            losses.Add(loss);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {loss.What} | {loss.After:F4} | {loss.Unharmed:F4} | {loss.NeverStored} |"));
        }

        return losses;
    }

    internal sealed record Setup(Trace Trace, DeviceCosts Costs, int Replicas, int Blocks, double[] Loads)
    {
        public string Title => $"{Trace.Name}, {Replicas} replicas ({Costs.Name}) of {Blocks / Replicas} blocks of {Trace.BlockTokens} tokens, 2 routers";

        public ReplaySettings Settings => new() { Replicas = Replicas, BlocksPerReplica = Blocks / Replicas, Costs = Costs };
    }

    internal sealed record Row(string Setup, double Load, string Policy, ReplayResult Result, double OfOracle);

    private sealed record Loss(string What, double After, double Unharmed, long NeverStored);
}
