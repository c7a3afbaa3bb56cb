using Granary.Engine.Execution;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx.Execution;

public sealed class OnnxStepExecutorTests : IClassFixture<OnnxStepExecutorTests.Models>
{
    private const int Length = 45;
    private readonly Models _models;

    public OnnxStepExecutorTests(Models models) => _models = models;

    public static TheoryData<WeightFormat, int> FormatsAndThreads => new()
    {
        { WeightFormat.Float32, 1 }, { WeightFormat.Float32, 2 }, { WeightFormat.Int8, 1 }, { WeightFormat.Int8, 2 }, { WeightFormat.Int4, 1 },
    };

    /// <summary>Whole, token by token, or in chunks beside other sequences: a position's logits are the same bits.</summary>
    [Theory, MemberData(nameof(FormatsAndThreads))]
    public void Execute_AnyChunksAndNeighbours_SameBits(WeightFormat format, int threads)
    {
        using var executor = Open(format, new() { IntraOpThreads = threads, KvBlockCount = 40 });
        var whole = new float[Length][];
        for (var p = 0; p < Length; p++) whole[p] = Run(executor, (0, 0, p + 1))[0];

        using (var fresh = Open(format, new() { IntraOpThreads = threads, KvBlockCount = 40 }))
        {
            for (var p = 0; p < Length; p++) Assert.Equal(whole[p], Run(fresh, (3, p, 1))[0]);
        }

        var random = new Random(7);
        for (var past = 0; past < Length;)
        {
            var count = Math.Min(random.Next(1, 12), Length - past);
            var rows = Run(executor, (1, past, Math.Min(2, count)), (0, past, count), (2, past, 1));
            Assert.Equal(whole[past + count - 1], rows[1]);
            Run(executor, (1, past, count), (2, past, count));
            past += count;
        }
    }

    [Fact]
    public void Execute_TwoSequencesOverSharedBlocks_SameAsTheirOwn()
    {
        using var executor = Open(WeightFormat.Float32, new() { KvBlockCount = 40 });
        Run(executor, (0, 0, 32));
        var own = Run(executor, (0, 32, 3))[0];
        var plan = Plan((0, 32, 3));
        plan.BlockTable = [Block(0, 0), Block(0, 1), Block(5, 2)]; // Another sequence with the same prefix.
        plan.BlockTableWidth = 3;
        Assert.Equal(own, executor.Execute(plan).Logits);
    }

    [Fact]
    public void Execute_NothingSampled_WritesTheCacheAndReturnsNothing()
    {
        using var executor = Open(WeightFormat.Float32, new() { KvBlockCount = 40 });
        var expected = Run(executor, (0, 0, 21))[0];
        var plan = Plan((1, 0, 20));
        plan.HiddenCount = plan.LogitCount = 0;
        Assert.Empty(executor.Execute(plan).Logits);
        plan = Plan((1, 20, 1));
        plan.TokenIds = [Token(20)];
        Assert.Equal(expected, executor.Execute(plan).Logits);
    }

    /// <summary>Hidden states and logits are wanted of different rows: each is what it is by itself.</summary>
    [Theory, MemberData(nameof(FormatsAndThreads))]
    public void Execute_HiddenStatesOfAllRowsLogitsOfSome_SameBits(WeightFormat format, int threads)
    {
        using var executor = Open(format, new() { IntraOpThreads = threads, KvBlockCount = 40 });
        var (hidden, logits) = (new float[Length][], new float[Length][]);
        for (var p = 0; p < Length; p++)
        {
            var single = executor.Execute(Plan((0, p, 1)));
            (hidden[p], logits[p]) = (single.Hidden, single.Logits);
        }

        var plan = Plan((1, 0, Length));
        (plan.HiddenCount, plan.HiddenRows) = (Length, [.. Enumerable.Range(0, Length)]);
        (plan.LogitCount, plan.LogitRows) = (3, [0, 17, 40]);
        var output = executor.Execute(plan);

        Assert.Equal(hidden, output.Hidden.Chunk(128));
        Assert.Equal([logits[0], logits[17], logits[40]], output.Logits.Chunk(64));

        plan.LogitCount = 0;
        output = executor.Execute(plan);
        Assert.Equal(hidden, output.Hidden.Chunk(128));
        Assert.Empty(output.Logits);
    }

    [Fact]
    public void Execute_PlanOutOfBounds_NamesTheField()
    {
        using var executor = Open(WeightFormat.Float32, new() { KvBlockCount = 40, MaxTokensPerStep = 64, MaxSequencesPerStep = 2 });
        Refused("TokenCount", Plan((0, 0, 65)));
        Refused("SequenceCount", Plan((0, 0, 1), (1, 0, 1), (2, 0, 1)));
        Refused("PastLengths[0]", Plan((0, 127, 2)));
        Refused("TokenIds[1]", Change(plan => plan.TokenIds[1] = 64));
        Refused("TokenIds[0]", Change(plan => plan.TokenIds[0] = -1));
        Refused("HiddenRows", Change(plan => plan.HiddenRows[0] = 2));
        Refused("LogitRows", Change(plan => plan.LogitRows[0] = 1));
        Refused("HiddenCount", Change(plan => plan.HiddenCount = 3));
        Refused("LogitCount", Change(plan => plan.LogitCount = 2));
        Refused("CumulativeSequenceLengths[1]", Change(plan => plan.CumulativeSequenceLengths[1] = 1));
        Refused("block_table[0, 0] is 40", Change(plan => plan.BlockTable[0] = 40));
        Refused("block_table[0, 0] is -1", Change(plan => plan.BlockTable[0] = -1));

        Assert.Equal(64, executor.Execute(Plan((0, 0, 2))).Logits.Length); // None of it did harm.

        void Refused(string field, StepPlan plan) =>
            Assert.Contains(field, Assert.Throws<StepFailedException>(() => executor.Execute(plan)).Message, StringComparison.Ordinal);

        static StepPlan Change(Action<StepPlan> change)
        {
            var plan = Plan((0, 0, 2));
            change(plan);
            return plan;
        }
    }

    [Fact]
    public void Open_SecondTime_MapsThePrepackedForm()
    {
        var directory = _models.Import(WeightFormat.Float32, "twice");
        using (var first = OnnxStepExecutor.Open(directory, new() { KvBlockCount = 8 })) Assert.True(first.IsPrepacked);
        var prepacked = Assert.Single(Directory.GetDirectories(Path.Combine(directory, "prepacked")));
        var written = File.GetLastWriteTimeUtc(Path.Combine(prepacked, ModelDescription.WeightsFileName));
        using var second = OnnxStepExecutor.Open(directory, new() { KvBlockCount = 8 });
        Assert.True(second.IsPrepacked);
        Assert.Equal(written, File.GetLastWriteTimeUtc(Path.Combine(prepacked, ModelDescription.WeightsFileName)));
    }

    /// <summary>What a process left that was killed while it packed is neither used nor in the way.</summary>
    [Fact]
    public void Open_AfterAPackingWasKilled_PacksAgain()
    {
        var directory = _models.Import(WeightFormat.Int8, "killed");
        using (OnnxStepExecutor.Open(directory, new() { KvBlockCount = 8 }))
        {
        }

        var prepacked = Assert.Single(Directory.GetDirectories(Path.Combine(directory, "prepacked")));
        Directory.Move(prepacked, prepacked + ".tmp");
        File.WriteAllText(Path.Combine(prepacked + ".tmp", ModelDescription.GraphFileName), "half");
        using var executor = OnnxStepExecutor.Open(directory, new() { KvBlockCount = 8 });
        Assert.True(executor.IsPrepacked);
        Assert.Equal(prepacked, Assert.Single(Directory.GetDirectories(Path.Combine(directory, "prepacked"))));
    }

    [Fact]
    public void Open_ByManyAtOnce_PacksOnce()
    {
        var directory = _models.Import(WeightFormat.Int4, "many");
        var executors = new OnnxStepExecutor[4];
        Parallel.For(0, executors.Length, i => executors[i] = OnnxStepExecutor.Open(directory, new() { KvBlockCount = 8 }));
        var logits = executors.Select(executor => executor.Execute(Plan((0, 0, 5))).Logits).ToList();
        Assert.All(logits, row => Assert.Equal(logits[0], row));
        foreach (var executor in executors) executor.Dispose();
        Assert.Single(Directory.GetDirectories(Path.Combine(directory, "prepacked")));
    }

    [Fact]
    public void Open_GraphIsDamaged_NamesTheFolder()
    {
        var directory = _models.Import(WeightFormat.Float32, "damaged");
        File.WriteAllText(Path.Combine(directory, ModelDescription.GraphFileName), "not a graph");
        Assert.Contains(directory, Assert.Throws<ModelSessionException>(() => OnnxStepExecutor.Open(directory, new())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 0L, 64 * 8, 128)]
    [InlineData(32, 0L, 64 * 2, 32)]
    [InlineData(0, 20L * 2 * 2 * 16 * 2 * 32 * 4, 20, 128)]
    [InlineData(0, 3L * 2 * 2 * 16 * 2 * 32 * 4, 3, 48)]
    public void Open_SizesLeftOpen_FollowContextSequencesAndMemory(int context, long memory, int blocks, int contextThen)
    {
        using var executor = Open(WeightFormat.Float32, new() { ContextLength = context, KvMemoryBytes = memory });
        Assert.Equal(new ExecutorShape(64, 128, contextThen, blocks, 16, 128), executor.Shape);
    }

    [Fact]
    public void Open_OptionOutOfBounds_NamesItAndTheBound()
    {
        Assert.Contains("ContextLength is 129", Assert.Throws<ModelSessionException>(() => Open(WeightFormat.Float32, new() { ContextLength = 129 })).Message, StringComparison.Ordinal);
        Assert.Contains("IntraOpThreads is 0", Assert.Throws<ModelSessionException>(() => Open(WeightFormat.Float32, new() { IntraOpThreads = 0 })).Message, StringComparison.Ordinal);
    }

    private OnnxStepExecutor Open(WeightFormat format, OnnxExecutorOptions options) => OnnxStepExecutor.Open(_models.Import(format, "shared"), options);

    private static int Token(int position) => ((position * 29) + 3) % 64;

    // Scattered, and each sequence its own.
    private static int Block(int sequence, int entry) => ((sequence * 5) + (entry * 17) + 3) % 40;

    /// <summary>Every sequence has the same tokens, so that any of them may be compared with any other.</summary>
    private static StepPlan Plan(params (int Sequence, int Past, int Count)[] chunks)
    {
        var width = Math.Min(8, chunks.Max(chunk => (chunk.Past + chunk.Count + 15) / 16));
        int[] cumulative = [0, .. chunks.Select((_, i) => chunks.Take(i + 1).Sum(chunk => chunk.Count))];
        return new StepPlan
        {
            Step = 1,
            TokenCount = cumulative[^1],
            SequenceCount = chunks.Length,
            BlockTableWidth = width,
            HiddenCount = chunks.Length,
            LogitCount = chunks.Length,
            TokenIds = [.. chunks.SelectMany(chunk => Enumerable.Range(chunk.Past, chunk.Count).Select(Token))],
            CumulativeSequenceLengths = cumulative,
            PastLengths = [.. chunks.Select(chunk => chunk.Past)],
            BlockTable = [.. chunks.SelectMany(chunk => Enumerable.Range(0, width).Select(entry => Block(chunk.Sequence, entry)))],
            HiddenRows = [.. cumulative.Skip(1).Select(end => end - 1)],
            LogitRows = [.. Enumerable.Range(0, chunks.Length)],
            RowTemperatures = [.. Enumerable.Repeat(RowWants.Whole, chunks.Length)],
        };
    }

    private static float[][] Run(OnnxStepExecutor executor, params (int, int, int)[] chunks) => [.. executor.Execute(Plan(chunks)).Logits.Chunk(64)];

    /// <summary>Imports of one small random Llama, large enough that two threads share its products.</summary>
    public sealed class Models : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly Lock _lock = new();

        public Models() => SyntheticModel.Write(_folder["source"], new SyntheticShape { Tied = true, Hidden = 128, Intermediate = 320, HeadSize = 32 }, seed: 5);

        public string Import(WeightFormat format, string name)
        {
            var directory = _folder[$"{name}-{format}"];
            lock (_lock)
            {
                if (!Directory.Exists(directory)) ModelImporter.Import(_folder["source"], directory, new ImportOptions { Weights = format });
            }

            return directory;
        }

        public void Dispose() => _folder.Dispose();
    }
}
