using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Engine.Sampling;
using Granary.Sharding.Links;
using Granary.Sharding.Steps;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Sharding.Steps;

/// <summary>Of rows that are not wanted whole the engine gets what it would compute from them, and the rest when it asks.</summary>
public sealed class RowSummaryTests
{
    private const int Rows = 4;

    private static readonly SimulatedModel Model = new() { VocabularySize = 5000 };
    private static readonly float[] Wanted = [0.7f, RowWants.Whole, RowWants.Highest, 1.5f];

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 10)];

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 2)]
    [InlineData(1, 4)]
    public async Task End_SomeRowsSummarized_GivesSummariesAndTheRest(int stages, int ranks)
    {
        await using var setup = await ShardSetup.StartAsync(Model, "memory", stages, ranks);
        using var executor = setup.Cluster.Executor;
        using var alone = new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null));
        var summarizer = new RowSummarizer(Model.VocabularySize);

        for (var step = 1; step <= 3; step++)
        {
            alone.Begin(Plan(step));
            executor.Begin(Plan(step));
            var expected = alone.End();
            var actual = executor.End();

            for (var row = 0; row < Rows; row++)
            {
                var whole = expected.Logits(row).ToArray();
                if (Wanted[row] == RowWants.Whole)
                {
                    Assert.Null(actual.Summary(row));
                }
                else
                {
                    var summary = new RowSummary();
                    summarizer.Summarize(whole, 0, Wanted[row], summary);
                    AssertEqual(summary, actual.Summary(row)!);
                    Assert.Equal(whole[1000..3100], actual.Columns(row, 1000, 2100).ToArray());
                }

                Assert.Equal(whole, actual.Logits(row).ToArray());
            }

            Assert.Equal(expected.Hidden.ToArray(), actual.Hidden.ToArray());
        }
    }

    /// <summary>What the engine asks for it gets of the oldest step, however many others have run since.</summary>
    [Fact]
    public async Task Columns_LaterStepsHaveRun_AreStillKept()
    {
        const int stages = 3;
        await using var setup = await ShardSetup.StartAsync(Model, "memory", stages, 1);
        using var executor = setup.Cluster.Executor;
        using var alone = new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null));
        var ran = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var last = setup.Shards.Last();
        last.AfterStep = plan =>
        {
            if (plan.Step == stages) ran.SetResult();
        };
        for (var step = 1; step <= stages; step++) executor.Begin(Plan(step));
        await ran.Task.WaitAsync(TimeSpan.FromSeconds(60));

        alone.Begin(Plan(1));
        Assert.Equal(alone.End().Logits(0).ToArray(), executor.End().Logits(0).ToArray());
    }

    [Theory, MemberData(nameof(Seeds))]
    public void Read_AnyRow_GivesTheSummaryBack(int seed)
    {
        var (columns, temperature, summary, payload) = RandomSummary(new(seed));
        var read = new RowSummary();
        ReadOnlySpan<byte> rest = payload;

        RowCodec.Read(ref rest, columns, temperature, read);

        Assert.True(rest.IsEmpty);
        AssertEqual(summary, read);
    }

    [Theory, MemberData(nameof(Seeds))]
    public void Read_BytesReplacedOrMissing_RefusesOrStaysWithinTheSlice(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 200; round++)
        {
            var (columns, temperature, _, payload) = RandomSummary(random);
            ReadOnlySpan<byte> changed = payload.AsSpan(0, random.Next(2) == 0 ? payload.Length : random.Next(payload.Length));
            for (var changes = 0; changes < 3; changes++) payload[random.Next(payload.Length)] = (byte)random.Next(256);
            var read = new RowSummary();
            try
            {
                RowCodec.Read(ref changed, columns, temperature, read);
            }
            catch (LinkException error)
            {
                Assert.Equal(LinkFailure.Corrupt, error.Failure);
                continue;
            }

            Assert.All(read.CandidateColumns.ToArray(), column => Assert.InRange(column, columns.First, columns.End - 1));
            Assert.True(read.BestColumn == -1 || (read.BestColumn >= columns.First && read.BestColumn < columns.End), $"Column {read.BestColumn}.");
        }
    }

    private static (Slice Columns, float Temperature, RowSummary Summary, byte[] Payload) RandomSummary(Random random)
    {
        var columns = new Slice(random.Next(3) * RowSummary.BlockColumns + random.Next(2), random.Next(1, 3000));
        var temperature = random.Next(2) * 0.8f;
        var row = Enumerable.Range(0, columns.Count).Select(_ => random.NextSingle() * 20 - 10).ToArray();
        var summary = new RowSummary();
        new RowSummarizer(columns.Count).Summarize(row, columns.First, temperature, summary);
        var payload = new byte[RowCodec.MostBytes(columns)];
        return (columns, temperature, summary, payload[..RowCodec.Write(summary, payload)]);
    }

    private static void AssertEqual(RowSummary expected, RowSummary actual)
    {
        Assert.Equal((expected.FirstColumn, expected.ColumnCount, expected.Temperature), (actual.FirstColumn, actual.ColumnCount, actual.Temperature));
        Assert.Equal((expected.BestColumn, expected.Best), (actual.BestColumn, actual.Best));
        Assert.Equal(expected.BlockMaxima.ToArray(), actual.BlockMaxima.ToArray());
        Assert.Equal(expected.BlockSums.ToArray(), actual.BlockSums.ToArray());
        Assert.Equal(expected.CandidateColumns.ToArray(), actual.CandidateColumns.ToArray());
        Assert.Equal(expected.CandidateLogits.ToArray(), actual.CandidateLogits.ToArray());
    }

    /// <summary>Two new sequences of two tokens, all of whose rows are wanted.</summary>
    private static StepPlan Plan(int step) => new()
    {
        Step = step,
        TokenCount = Rows,
        SequenceCount = 2,
        BlockTableWidth = 1,
        HiddenCount = Rows,
        LogitCount = Rows,
        TokenIds = [step, 7, 4000 + step, 9],
        CumulativeSequenceLengths = [0, 2, 4],
        PastLengths = [0, 0],
        BlockTable = [2 * step, 2 * step + 1],
        HiddenRows = [0, 1, 2, 3],
        LogitRows = [0, 1, 2, 3],
        RowTemperatures = Wanted,
    };
}
