using Granary.Tests.Client.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Client.Cli;

/// <summary>The cluster on a terminal.</summary>
public sealed class TopologyCommandTests
{
    private const string Topology = """
        {"models":[{"model":"m","wanted_replicas":2,"living_replicas":1,"missing":[{"replica":"m/1","reason":"It fits nowhere.","retry_after_seconds":1}]}],
         "workers":[
          {"worker":"a/cpu","silo":"a","host":"one","zone":"","device":"cpu","cores":4,"free_cores":3,"memory_bytes":1073741824,"free_bytes":536870912,
           "replicas":[{"replica":"a/cpu/m/0","model":"m","epoch":7,"stages":2,"ranks":1,"running_sequences":1,"waiting_sequences":0,"kv_blocks":64,"kv_blocks_used":3,"steps":9,"seconds_per_decode_step":0.0125}],
           "shards":[{"replica":"a/cpu/m/0","epoch":7,"stage":0,"rank":0,"state":"running","progress":1,"memory_bytes":2048,"steps":9,"seconds_per_step":0.004,"wait_seconds_per_step":0.001,
             "links":[{"peer":"1.0","purpose":"activations","frames_sent":9,"bytes_sent":1536,"frames_received":0,"bytes_received":0}]}]},
          {"worker":"b/cpu","silo":"b","host":"two","zone":"z","device":"cpu","cores":4,"free_cores":4,"memory_bytes":1073741824,"free_bytes":0,"replicas":[],
           "shards":[{"replica":"a/cpu/m/0","epoch":7,"stage":1,"rank":0,"state":"loading","progress":0.5,"memory_bytes":0,"steps":0,"seconds_per_step":0,"wait_seconds_per_step":0,"links":[]}]}]}
        """;

    [Fact]
    public async Task Topology_OnATerminal_ShowsWorkersReplicasShardsLinksAndWhatIsMissing()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(200, Topology));

        var run = await CliRun.OfAsync([], context => context with { Http = null }, "topology", "--url", $"{server.Address}v1", "--api-key", "key-of-sixteen-ch");

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Equal(("/admin/topology", "Bearer key-of-sixteen-ch"), (server.Received[0].Path, server.Received[0].Headers["authorization"]));
        Assert.Contains(run.Lines, line => line.StartsWith("a/cpu", StringComparison.Ordinal) && line.Contains("1 GiB  512 MiB", StringComparison.Ordinal));
        Assert.Contains(run.Lines, line => line.Contains("a/cpu/m/0", StringComparison.Ordinal) && line.Contains("2x1", StringComparison.Ordinal) && line.Contains("3/64", StringComparison.Ordinal) && line.Contains("12.50 ms", StringComparison.Ordinal));
        Assert.Contains(run.Lines, line => line.StartsWith("1.0 ", StringComparison.Ordinal) && line.Contains("loading 50 %", StringComparison.Ordinal));
        Assert.Contains(run.Lines, line => line.StartsWith("0.0 – 1.0", StringComparison.Ordinal) && line.Contains("1.5 KiB", StringComparison.Ordinal));
        Assert.Contains("Missing m/1: It fits nowhere.", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Topology_AsJson_IsTheServersOwn()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(200, Topology));

        var run = await CliRun.OfAsync([], context => context with { Http = null }, "topology", "--json", "--url", server.Address.AbsoluteUri);

        Assert.Equal("a/cpu", (string?)run.Objects.Single()["workers"]![0]!["worker"]);
    }

    [Fact]
    public async Task Topology_Watched_AsksAgainUntilInterrupted()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(200, Topology), GatewayServer.Json(200, Topology));
        var time = new ManualTime();
        Func<bool>? interrupt = null;

        var running = CliRun.OfAsync([], context => context with
        {
            Http = null,
            Time = time,
            OnInterrupt = handle =>
            {
                interrupt = handle;
                return new MemoryStream();
            },
        }, "topology", "--watch", "--period", "5", "--json", "--url", server.Address.AbsoluteUri);
        await time.ArmedFor(TimeSpan.FromSeconds(5)).WaitAsync(Updates.Patience);
        time.Advance(TimeSpan.FromSeconds(5));
        await time.ArmedFor(TimeSpan.FromSeconds(10)).WaitAsync(Updates.Patience);
        interrupt!();
        var run = await running.WaitAsync(Updates.Patience);

        Assert.Equal((0, 2), (run.ExitCode, run.Lines.Count));
    }

    [Theory]
    [InlineData(404, "{}", "answers 404")]
    [InlineData(200, "[]", "answers no topology")]
    public async Task Topology_OfAnotherServer_SaysWhatItAnswers(int status, string body, string expected)
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(status, body));

        var run = await CliRun.OfAsync([], context => context with { Http = null }, "topology", "--url", server.Address.AbsoluteUri);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
    }
}
