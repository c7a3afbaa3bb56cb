using Granary.Engine.Execution;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.Tests.Support;
using Granary.Tests.Unit.Onnx.Graph;

namespace Granary.Tests.Unit.Onnx.Execution;

/// <summary>A model cut into stages and ranks computes what it computes whole.</summary>
public sealed class ShardExecutorTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, SyntheticShape, int> Families => DecoderGraphTests.Families;

    public void Dispose() => _folder.Dispose();

    /// <summary>Biases, fused projections, windows, norms per head, partial rotation: all cut as they are computed.</summary>
    [Theory, MemberData(nameof(Families), DisableDiscoveryEnumeration = true)]
    public void Execute_FamilyInShards_ComputesThePlainForwardPass(string name, SyntheticShape shape, int contextLength)
    {
        SyntheticModel.Write(_folder["source"], shape, seed: 21);
        var random = new Random(5);
        var tokens = Enumerable.Range(0, 24).Select(_ => random.Next(shape.Vocabulary)).ToArray();
        var expected = new NaiveTransformer(_folder["source"], contextLength).Logits(tokens);
        foreach (var (stages, ranks) in new[] { (1, 2), (1, 4), (Math.Min(2, shape.Layers), 2) })
        {
            var model = new ShardedModel(_folder["source"], _folder[$"{stages}x{ranks}"], new() { ContextLength = contextLength }, stages, ranks);
            using var shards = model.Open(new() { KvBlockCount = 8 });
            var runner = new SequenceRunner(shards);
            runner.Append(tokens[..9]);

            AssertClose([.. expected[20].Select(value => (float)value)], runner.Append(tokens[9..21]), 2e-4f, name);
            AssertClose([.. expected[23].Select(value => (float)value)], runner.Append(tokens[21..]), 2e-4f, name);
        }

    }

    /// <summary>Stages pass on what the whole model has at that place, biases included: the same bits.</summary>
    [Theory, MemberData(nameof(Families), DisableDiscoveryEnumeration = true)]
    public void Execute_FamilyInStages_BitsOfTheWhole(string name, SyntheticShape shape, int contextLength)
    {
        if (shape.Layers < 2) return;
        SyntheticModel.Write(_folder["source"], shape, seed: 23);
        var random = new Random(6);
        var tokens = Enumerable.Range(0, 24).Select(_ => random.Next(shape.Vocabulary)).ToArray();
        var options = new ImportOptions { ContextLength = contextLength };
        using var whole = new ShardedModel(_folder["source"], _folder["whole"], options, 1, 1).Open(new() { KvBlockCount = 8 });
        using var stages = new ShardedModel(_folder["source"], _folder["stages"], options, 2, 1).Open(new() { KvBlockCount = 8 });

        AssertClose(new SequenceRunner(whole).Append(tokens), new SequenceRunner(stages).Append(tokens), 0, name);
    }

    [Fact]
    public void Execute_AStepWithoutRows_SumsOnlyWhatOthersNeed()
    {
        var model = Small(stages: 1, ranks: 2);
        using var shards = model.OpenShards(new() { KvBlockCount = 8 });

        var result = shards.Execute(Plan(tokens: 3, rows: 0));

        Assert.Empty(result.Logits);
        Assert.Equal(3, shards.Sums(0)); // The embedding and the first of two layers: the last has no rows behind its attention.
    }

    [Fact]
    public void Execute_TheReducerFails_StepFailsWithItsCauseAndSoDoLaterOnes()
    {
        var model = Small(stages: 1, ranks: 2);
        var reducer = new FailingReducer(sums: 2);
        using var shard = OnnxShardExecutor.Open(model.Directory(new(0, 1)), new() { KvBlockCount = 8 }, reducer);

        var failure = Assert.Throws<StepFailedException>(() => shard.Execute(Plan(tokens: 3, rows: 1)));

        Assert.Contains("the cable is out", failure.Message);
        Assert.IsType<TimeoutException>(failure.InnerException);
        Assert.Throws<StepFailedException>(() => shard.Execute(Plan(tokens: 3, rows: 1)));
        Assert.Equal(3, reducer.Calls);
    }

    [Fact]
    public void Execute_OneOfManyShardsFails_NobodyWaits()
    {
        var model = Small(stages: 2, ranks: 2);
        using var shards = new LocalShards(2, 2, (place, reducer) => OnnxShardExecutor.Open(
            model.Directory(place), new() { KvBlockCount = 8 }, place == new ShardPlace(1, 1) ? new FailingReducer(sums: 1) : reducer));

        var failure = Assert.Throws<StepFailedException>(() => shards.Execute(Plan(tokens: 3, rows: 1)));

        Assert.Contains("the cable is out", failure.Message);
    }

    [Fact]
    public void Open_RankWithoutReducer_IsRefused()
    {
        var model = Small(stages: 1, ranks: 2);

        var refusal = Assert.Throws<ModelSessionException>(() => OnnxShardExecutor.Open(model.Directory(default), new() { KvBlockCount = 8 }));

        Assert.Contains("holds rank 0 of 2", refusal.Message);
    }

    [Fact]
    public void Open_ShardWithoutNumberOfBlocks_IsRefused()
    {
        var model = Small(stages: 2, ranks: 1);

        var refusal = Assert.Throws<ModelSessionException>(() => OnnxShardExecutor.Open(model.Directory(default), new()));

        Assert.Contains("KvBlockCount is 0", refusal.Message);
    }

    [Fact]
    public void Open_PartOfAModelAsAWhole_IsRefused()
    {
        var model = Small(stages: 2, ranks: 1);

        var refusal = Assert.Throws<ModelSessionException>(() => OnnxStepExecutor.Open(model.Directory(new(1, 0)), new() { KvBlockCount = 8 }));

        Assert.Contains("stage 1 of 2", refusal.Message);
    }

    [Fact]
    public void Shape_OfAShard_TellsItsSliceAndTheWholeReplica()
    {
        var model = Small(stages: 2, ranks: 2);
        using var shard = OnnxShardExecutor.Open(model.Directory(new(1, 0)), new() { KvBlockCount = 8, MaxTokensPerStep = 64 }, new FailingReducer(0));

        Assert.Equal(model.Slices[2], shard.Shape.Slice);
        Assert.Equal(new ExecutorShape(64, 32, 128, 8, 16, 128), shard.Shape.Whole);
        Assert.Equal(64 * 32, shard.Input(64).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => shard.Input(65).Length);
    }

    private ShardedModel Small(int stages, int ranks)
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape(), seed: 22);
        return new(_folder["source"], _folder["shards"], new(), stages, ranks);
    }

    private static StepPlan Plan(int tokens, int rows) => new()
    {
        Step = 1,
        TokenCount = tokens,
        SequenceCount = 1,
        BlockTableWidth = 1,
        HiddenCount = rows,
        LogitCount = rows,
        TokenIds = [.. Enumerable.Range(0, tokens)],
        CumulativeSequenceLengths = [0, tokens],
        PastLengths = [0],
        BlockTable = [0],
        HiddenRows = [.. Enumerable.Range(0, rows)],
        LogitRows = [.. Enumerable.Range(0, rows)],
        RowTemperatures = [.. Enumerable.Repeat(RowWants.Whole, rows)],
    };

    /// <summary>Sums nothing, and fails behind so many calls.</summary>
    private sealed class FailingReducer(int sums) : IRankReducer
    {
        public int Calls { get; private set; }

        public void AllReduce(Span<float> values, int columns)
        {
            if (++Calls > sums) throw new TimeoutException("the cable is out");
        }
    }

    private static void AssertClose(float[] expected, float[] actual, float tolerance, string name = "")
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance, $"{name}: value {i} is {actual[i]}, expected {expected[i]} within {tolerance}");
    }
}
