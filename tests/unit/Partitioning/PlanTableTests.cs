using Granary.Engine.Partitioning;

namespace Granary.Tests.Unit.Partitioning;

public sealed class PlanTableTests
{
    [Fact]
    public void Format_TwoStagesOfTwoRanks_HasALineAShardAndTheSums()
    {
        WorkerInventory[] workers = [.. "abcd".Select(name => new WorkerInventory
        {
            Worker = $"{name}/cpu", DeviceKind = "cpu", Silo = $"{name}", Host = name < 'c' ? "one" : "two", FreeBytes = 4L << 30, FreeCores = 2,
            FlopsPerSecond = 1e10, BytesPerSecond = 1e10,
        })];
        var plan = PartitionPlanner.Plan(
            KnownShapes.TinyLlama, workers, new PartitionRequest { Stages = 2, Ranks = 2, ThreadsPerShard = 2, KvTokens = 2000, MaxTokensPerStep = 256, MaxLogitRows = 16 }).Plan!;

        Assert.Equal(
            """
            stage  rank  worker  host  layers  heads  KV heads  FFN columns   vocabulary   weights        KV  workspace  of memory       step
                0     0  a/cpu   one     0–11   0–15       0–1       0–2815      0–16383  1.11 GiB  23.4 MiB   47.2 MiB       30 %  107.16 ms
                0     1  b/cpu   one     0–11  16–31       2–3    2816–5631  16384–31999  1.11 GiB  23.4 MiB   45.3 MiB       29 %  107.16 ms
                1     0  c/cpu   two    12–21   0–15       0–1       0–2815      0–16383   970 MiB  19.5 MiB   48.3 MiB       25 %  102.54 ms
                1     1  d/cpu   two    12–21  16–31       2–3    2816–5631  16384–31999   964 MiB  19.5 MiB   48.2 MiB       25 %  102.54 ms
            2 stages × 2 ranks, KV cache of 2000 tokens, 4.37 GiB in all. Leader: a/cpu.
            Predicted for 8 decoding sequences: a step of 209.7 ms; with a step in every stage one each 107.16 ms.
            """, PlanTable.Format(plan, workers), ignoreLineEndingDifferences: true);
    }

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(999, "999 B")]
    [InlineData(1000, "0.98 KiB")]
    [InlineData(10_239, "10.0 KiB")]
    [InlineData(1_048_575, "1.00 MiB")]
    [InlineData(123L << 30, "123 GiB")]
    [InlineData(long.MaxValue, "8.00 EiB")]
    public void Of_Bytes_HasThreeDigits(long bytes, string text) => Assert.Equal(text, ByteText.Of(bytes));
}
