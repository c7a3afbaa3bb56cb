using System.Text.Json.Nodes;
using Granary.Silo.CommandLine;
using Granary.Tests.Conformance.Clients;

namespace Granary.Tests.Conformance;

/// <summary>The command that shows a plan, as a process of its own.</summary>
public sealed class PlanCommandTests
{
    [Fact]
    public async Task Plan_ThisMachine_PrintsATable()
    {
        var run = await RunAsync("plan", "tiny-assistant", "--threads", "1");

        Assert.True(run.ExitCode == 0, run.Errors);
        Assert.Matches(@"^stage +rank +worker .*\n +0 +0 +\S+/cpu ", run.Output);
        Assert.Contains("1 stage × 1 rank, KV cache of ", run.Output);
    }

    [Fact]
    public async Task Plan_DescribedWorkers_AreTheOnlyOnes()
    {
        var run = await RunAsync(
            "plan", "tiny-assistant", "--stages", "2", "--ranks", "2", "--threads", "2", "--kv-tokens", "1000", "--quantize", "int8", "--json",
            "--worker", "a:2:1GiB:20", "--worker", "a:2:1GiB:20", "--worker", "b:2:512MiB", "--worker", "b:2:0.5GiB:10");

        Assert.True(run.ExitCode == 0, run.Errors);
        var plan = JsonNode.Parse(run.Output)!;
        Assert.Equal((2, 2, 1008), ((int)plan["stages"]!, (int)plan["ranks"]!, (int)plan["kv_tokens"]!));
        var shards = plan["shards"]!.AsArray();
        Assert.Equal(["a-2/cpu", "a/cpu", "b-2/cpu", "b/cpu"], shards.Select(shard => (string)shard!["worker"]!).Order(StringComparer.Ordinal));
        Assert.All(shards.Chunk(2), stage => Assert.Equal((string)stage[0]!["host"]!, (string)stage[1]!["host"]!));
        Assert.Equal(5, shards.Where(shard => (int)shard!["rank"]! == 0).Sum(shard => (int)shard!["layers"]!["count"]!));
    }

    [Fact]
    public async Task Plan_NothingFits_ExitsWithOneAndTheArithmetic()
    {
        var run = await RunAsync("plan", "tiny-assistant", "--worker", "small:4:16MiB");

        Assert.Equal((GranaryCommand.Failed, ""), (run.ExitCode, run.Output));
        Assert.Contains("small/cpu: 16.0 MiB and 4 cores free, 0 of 5 layers", run.Errors);
        Assert.DoesNotContain("   at ", run.Errors);
    }

    [Theory]
    [InlineData("--stages many", "--stages is 'many'; it must be auto, or from 1 to 1024.")]
    [InlineData("--worker a:2", "--worker is 'a:2'; it must be HOST:CORES:MEMORY[:GBPS]")]
    [InlineData("--worker a:0:1GiB", "--worker 'a:0:1GiB' has '0' cores")]
    [InlineData("--worker a:2:much", "has 'much' of memory")]
    [InlineData("--worker a:2:1GiB:0", "reads '0' GB of memory a second")]
    [InlineData("--threads 0", "--threads is 0")]
    public async Task Plan_WrongArguments_ExitsWithTwo(string arguments, string shown)
    {
        var run = await RunAsync(["plan", "tiny-assistant", .. arguments.Split(' ')]);

        Assert.Equal((GranaryCommand.WrongArguments, ""), (run.ExitCode, run.Output));
        Assert.Contains(shown, run.Errors);
    }

    private static Task<ProgramResult> RunAsync(params string[] arguments) =>
        OtherPrograms.RunAsync("dotnet", [Path.Combine(AppContext.BaseDirectory, "Granary.Silo.dll"), .. arguments]);
}
