using Granary.Engine.Execution;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>The oracle of the exactness tests must itself notice wrong use of the KV cache.</summary>
public sealed class SimulatedExecutorTests
{
    private static readonly SimulatedDevice Device = new() { KvBlockTokens = 4, KvBlockCount = 8, ContextLength = 32 };

    [Fact]
    public void Execute_WholeOrInParts_GivesTheSameLogits()
    {
        using var whole = new SimulatedExecutor(Device);
        var expected = whole.Execute(Plan(1, [1, 2, 3, 4, 5, 6], 0, [0, 1])).Logits;
        using var parts = new SimulatedExecutor(Device);
        parts.Execute(Plan(1, [1, 2, 3], 0, [5]));
        parts.Execute(Plan(2, [4], 3, [5]));

        Assert.Equal(expected, parts.Execute(Plan(3, [5, 6], 4, [5, 2])).Logits);
    }

    [Fact]
    public void Execute_BlockOverwrittenSwappedOrAnotherPosition_ChangesTheLogits()
    {
        float[] After(Action<SimulatedExecutor> between, int[] table)
        {
            using var executor = new SimulatedExecutor(Device);
            executor.Execute(Plan(1, [1, 2, 3, 4, 5, 6, 7, 8], 0, [0, 1]));
            between(executor);
            return executor.Execute(Plan(3, [9], 8, table)).Logits;
        }

        var right = After(_ => { }, [0, 1, 2]);

        Assert.Equal(right, After(_ => { }, [0, 1, 3]));
        Assert.NotEqual(right, After(_ => { }, [1, 0, 2]));
        Assert.NotEqual(right, After(executor => executor.Execute(Plan(2, [7], 0, [1])), [0, 1, 2]));
        Assert.NotEqual(right, After(executor => executor.Execute(Plan(2, [1, 2, 3, 4], 0, [1])), [0, 1, 2]));
    }

    [Fact]
    public void Execute_PositionNeverWrittenOrNoBlock_Throws()
    {
        using var executor = new SimulatedExecutor(Device);
        executor.Execute(Plan(1, [1, 2], 0, [0]));

        Assert.Contains("never written", Assert.Throws<StepFailedException>(() => executor.Execute(Plan(2, [3], 3, [0]))).Message);
        Assert.Contains("block -1", Assert.Throws<StepFailedException>(() => executor.Execute(Plan(3, [3, 4, 5], 2, [0, -1]))).Message);
        Assert.Contains("block 8", Assert.Throws<StepFailedException>(() => executor.Execute(Plan(4, [3, 4, 5], 2, [0, 8]))).Message);
    }

    [Fact]
    public void Execute_TwoSequencesWriteOneBlock_Throws()
    {
        using var executor = new SimulatedExecutor(Device);
        var plan = new StepPlan
        {
            Step = 1,
            TokenCount = 2,
            SequenceCount = 2,
            BlockTableWidth = 1,
            HiddenCount = 2,
            LogitCount = 2,
            TokenIds = [1, 2],
            CumulativeSequenceLengths = [0, 1, 2],
            PastLengths = [0, 0],
            BlockTable = [3, 3],
            HiddenRows = [0, 1],
            LogitRows = [0, 1],
            RowTemperatures = [RowWants.Whole, RowWants.Whole],
        };
        Assert.Contains("over another's", Assert.Throws<StepFailedException>(() => executor.Execute(plan)).Message);
    }

    [Fact]
    public void Execute_CostModel_TakesThatTime()
    {
        var elapsed = TimeSpan.Zero;
        var device = Device with { PerStep = TimeSpan.FromTicks(1000), PerDecodingSequence = TimeSpan.FromTicks(100), PerPrefillToken = TimeSpan.FromTicks(1) };
        using var executor = new SimulatedExecutor(device, duration => elapsed += duration);

        executor.Execute(Plan(1, [1, 2, 3], 0, [0]));
        Assert.Equal(1003, elapsed.Ticks);
        executor.Execute(Plan(2, [4], 3, [0]));
        Assert.Equal(2103, elapsed.Ticks);
    }

    private static StepPlan Plan(long step, int[] tokens, int past, int[] table) => new()
    {
        Step = step,
        TokenCount = tokens.Length,
        SequenceCount = 1,
        BlockTableWidth = table.Length,
        HiddenCount = 1,
        LogitCount = 1,
        TokenIds = tokens,
        CumulativeSequenceLengths = [0, tokens.Length],
        PastLengths = [past],
        BlockTable = table,
        HiddenRows = [tokens.Length - 1],
        LogitRows = [0],
        RowTemperatures = [RowWants.Whole],
    };
}
