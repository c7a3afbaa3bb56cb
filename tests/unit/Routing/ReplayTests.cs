using System.Globalization;
using Granary.Engine.Simulation;
using Granary.Tests.Support;
using Granary.Tests.Support.Replay;

namespace Granary.Tests.Unit.Routing;

/// <summary>The simulator that policies are compared in.</summary>
public sealed class ReplayTests
{
    private static readonly ReplaySettings Settings = new() { Replicas = 4, BlocksPerReplica = 1024, ContextLength = 8192 };

    [Theory]
    [InlineData("seconds")]
    [InlineData("dynamo")]
    [InlineData("power-of-two")]
    public void Run_Twice_IsTheSame(string policy)
    {
        var trace = Traces.Conversations(seed: 1, requests: 400, requestsPerSecond: 40);
        var settings = Settings with { Policy = policy };
        Assert.Equal(ReplaySimulator.Run(trace, settings).Digest, ReplaySimulator.Run(trace, settings).Digest);
        Assert.NotEqual(ReplaySimulator.Run(trace, settings).Digest, ReplaySimulator.Run(trace.AtLoad(1.01), settings).Digest);
    }

    [Fact]
    public void Run_Conversations_FindMoreThanByTurns_AndNoMoreThanThereIs()
    {
        var trace = Traces.Conversations(seed: 2, requests: 800, requestsPerSecond: 40);
        var ours = ReplaySimulator.Run(trace, Settings);
        Assert.InRange(ours.Reuse, 1.2 * ReplaySimulator.Run(trace, Settings with { Policy = "round-robin" }).Reuse, trace.OracleReuse(int.MaxValue));
        Assert.Equal(0, ours.NeverStored);
    }

    /// <summary>Replicas and routers are lost: every request ends, and nobody believes in blocks that went with a life.</summary>
    [Fact]
    public void Run_ReplicasAndRoutersLost_EveryRequestEnds_NothingIsBelievedThatIsGone()
    {
        var trace = Traces.Conversations(seed: 3, requests: 600, requestsPerSecond: 60);
        var result = ReplaySimulator.Run(trace, Settings with { Kills = [(3, 1), (3.1, 2), (6, 1)], RoutersLostAt = 4 });
        Assert.Equal(0, result.NeverStored);
        Assert.True(result.Reuse > 0.3, $"Reuse is {result.Reuse}.");
    }

    /// <summary>The oracle gives the figures that are published with the trace.</summary>
    [SharedDataTheory]
    [InlineData(1_000, 0.0825)]
    [InlineData(5_000, 0.2791)]
    [InlineData(10_000, 0.4235)]
    [InlineData(20_000, 0.5715)]
    [InlineData(int.MaxValue, 0.6396)]
    public void OracleReuse_Mooncake_IsAsPublished(int blocks, double expected) =>
        Assert.Equal(expected, Traces.Mooncake(SharedData.Path("traces", "mooncake", "synthetic_trace.jsonl")).OracleReuse(blocks), 4);

    [SharedDataTheory]
    [InlineData("meta-llama/Llama-3.1-8B-Instruct", "h100_sxm", "trtllm", "1", 42, 0.02, 0.05)]
    [InlineData("MiniMaxAI/MiniMax-M2.5", "h200_sxm", "vllm", "4", 30, 0.02, 0.06)]
    public void DeviceCosts_MeasuredServers_AreWithinTheErrorsStated(string model, string system, string backend, string ranks, int rows, double median, double p90)
    {
        var costs = model.StartsWith("meta", StringComparison.Ordinal) ? DeviceCosts.Llama8BOnH100 : DeviceCosts.MiniMaxM2OnFourH200;
        var lines = File.ReadAllLines(SharedData.Path("traces", "hardware", "silicon_sample.csv"));
        var columns = lines[0].Split(',').Select((name, index) => (name, index)).ToDictionary(column => column.name, column => column.index);
        var errors = new List<double>();
        foreach (var fields in lines.Skip(1).Select(line => line.Split(',')))
        {
            if (Text("model_path") != model || Text("system") != system || Text("backend") != backend || Text("tp_size") != ranks || Text("mode") != "agg") continue;
            var measured = double.Parse(Text("silicon_tpot_ms"), CultureInfo.InvariantCulture) / 1000;
            errors.Add(Math.Abs(costs.SecondsPerOutputToken(Number("batch_size"), Number("isl"), Number("osl")) / measured - 1));
            string Text(string column) => fields[columns[column]];
            int Number(string column) => int.Parse(Text(column), CultureInfo.InvariantCulture);
        }

        errors.Sort();
        Assert.Equal(rows, errors.Count);
        Assert.InRange(errors[rows / 2], 0, median);
        Assert.InRange(errors[rows * 9 / 10], 0, p90);
    }
}
