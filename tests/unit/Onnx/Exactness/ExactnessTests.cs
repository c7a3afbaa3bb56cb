using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Engine;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;

namespace Granary.Tests.Unit.Onnx.Exactness;

/// <summary>
/// The contract: the same request gives bit-identical logits, and so the same tokens, whatever else the engine does.
/// Through the real engine and executor, on real models, in every weight format, whole and cut into shards, with one intra-op thread.
/// </summary>
public sealed class ExactnessTests(ExactnessTests.Models models) : IClassFixture<ExactnessTests.Models>
{
    internal const string TinyAssistant = "tiny-assistant";
    internal const string Stories260K = "stories260K";
    private const string Whole = "1x1";

    /// <summary>Plans of shards besides the whole: stages × ranks.</summary>
    public static readonly string[] Cuts = ["2x1", "3x1", "1x2", "1x4", "2x2"];

    /// <summary>Both models whole in every format; the small one in every cut, and in every format cut both ways.</summary>
    public static TheoryData<string, WeightFormat, string> Cases()
    {
        var cases = new TheoryData<string, WeightFormat, string>();
        foreach (var format in Enum.GetValues<WeightFormat>())
        {
            cases.Add(TinyAssistant, format, Whole);
            if (SharedData.Root is not null) cases.Add(Stories260K, format, Whole);
        }

        var cutModel = SharedData.Root is null ? TinyAssistant : Stories260K;
        foreach (var cut in Cuts) cases.Add(cutModel, WeightFormat.Float32, cut);
        cases.Add(TinyAssistant, WeightFormat.Int8, "2x2");
        cases.Add(TinyAssistant, WeightFormat.Int4, "2x2");
        return cases;
    }

    public static TheoryData<string, WeightFormat, string, int> ChunkCases()
    {
        var cases = new TheoryData<string, WeightFormat, string, int>();
        foreach (var data in Cases())
        {
            foreach (var budget in (string)data[2] == Whole ? [1, 7, 16, 64] : new[] { 7 }) cases.Add((string)data[0], (WeightFormat)data[1], (string)data[2], budget);
        }

        return cases;
    }

    /// <summary>Says so where the second model is not among the cases.</summary>
    [SharedDataFact]
    public void Cases_HoldBothModels() => Assert.Equal(6 + Cuts.Length + 2, Cases().Count);

    [Theory, MemberData(nameof(Cases))]
    public async Task Generate_AmongThirtyTwoArrivingInWaves_EqualsAlone(string name, WeightFormat format, string plan)
    {
        var model = models.Get(name, format, plan);
        var alone = await model.AloneAsync();
        var executor = model.Open();
        await using var engine = InferenceEngine.Start(new(), executor);

        var random = new Random(5);
        var order = Enumerable.Range(0, model.Requests.Length).ToArray();
        random.Shuffle(order);
        var handles = new ISequenceHandle[order.Length];
        for (var i = 0; i < order.Length;)
        {
            var last = Math.Min(order.Length, i + random.Next(1, 9));
            for (; i < last; i++) handles[order[i]] = engine.Submit(model.Requests[order[i]]);
            await handles[order[last - 1]].WaitToReadAsync(); // The next wave meets this one in the middle of its answers.
        }

        var together = await Task.WhenAll(handles.Select(handle => handle.ReadAll()));

        for (var i = 0; i < alone.Length; i++) alone[i].AssertSameTokens(together[i]);
        AssertSameLogits(alone, executor);
        Assert.True(executor.WidestStep >= 8, $"the widest step had {executor.WidestStep} sequences");
        Assert.Equal(0, engine.Load.KvBlocksUsed);
    }

    [Theory, MemberData(nameof(ChunkCases))]
    public async Task Generate_PromptsInChunks_EqualsAlone(string name, WeightFormat format, string plan, int tokensPerStep)
    {
        var model = models.Get(name, format, plan);
        var alone = (await model.AloneAsync())[..6];
        var executor = model.Open();
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = tokensPerStep }, executor);

        var chunked = await Task.WhenAll(model.Requests[..6].Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < alone.Length; i++) alone[i].AssertSameTokens(chunked[i]);
        AssertSameLogits(alone, executor);
        Assert.True(executor.PartialSteps > 0 && executor.LongestStep <= tokensPerStep, "prompts were taken in pieces");
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task Generate_PrefixInTheCache_EqualsAlone(string name, WeightFormat format, string plan)
    {
        var model = models.Get(name, format, plan);
        var alone = await model.AloneAsync();
        var executor = model.Open();
        await using var engine = InferenceEngine.Start(new(), executor);
        foreach (var request in model.Requests) await engine.Submit(request).ReadAll();
        executor.Rows.Clear();

        var cached = 0;
        for (var i = 0; i < alone.Length; i++)
        {
            var again = await engine.Submit(model.Requests[i]).ReadAll();
            alone[i].AssertSameTokens(again);
            cached += again[0].CachedPromptTokens;
        }

        AssertSameLogits(alone, executor);
        Assert.True(cached > 32 * 30, $"only {cached} prompt tokens came from the cache");
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task Generate_Preempted_EqualsAlone(string name, WeightFormat format, string plan)
    {
        var model = models.Get(name, format, plan);
        var alone = await model.AloneAsync();
        var executor = model.Open(blocks: 24);
        await using var engine = InferenceEngine.Start(new(), executor);

        var squeezed = await Task.WhenAll(model.Requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < alone.Length; i++) alone[i].AssertSameTokens(squeezed[i]);
        AssertSameLogits(alone, executor);
        Assert.True(engine.Load.Preemptions > 0, "blocks never ran out");
    }

    /// <summary>Blocks that go to slower memory and come back are what they were.</summary>
    [Theory]
    [InlineData(WeightFormat.Float32, false)]
    [InlineData(WeightFormat.Float32, true)]
    [InlineData(WeightFormat.Int8, false)]
    public async Task Generate_PrefixesGoOutAndComeBack_EqualsAlone(WeightFormat format, bool disk)
    {
        foreach (var name in SharedData.Root is null ? [TinyAssistant] : new[] { TinyAssistant, Stories260K })
        {
            var model = models.Get(name, format);
            var alone = await model.AloneAsync();
            var executor = model.Open(blocks: 24);
            var blockBytes = executor.BlockStore!.BlockBytes;
            using var folder = new TemporaryFolder();
            await using var engine = InferenceEngine.Start(
                new() { HostCacheBytes = (disk ? 48 : 512) * blockBytes }, executor, disk: disk ? KvSlotFile.Create(folder["kv"], 512 * blockBytes, blockBytes) : null);

            for (var round = 0; round < 3; round++)
            {
                var results = await Task.WhenAll(model.Requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));
                for (var i = 0; i < alone.Length; i++) alone[i].AssertSameTokens(results[i]);
            }

            AssertSameLogits(alone, executor);
            Assert.Equal(0, engine.Load.KvTierCorrupt);
            Assert.True(engine.Load.KvTierHits > 32 * 30, $"only {engine.Load.KvTierHits} tokens came back");
        }
    }

    /// <summary>What a failover does: another engine gets the prompt and the tokens delivered so far.</summary>
    [Theory, MemberData(nameof(Cases))]
    public async Task Generate_ReplayedElsewhere_GoesOnAsUninterrupted(string name, WeightFormat format, string plan)
    {
        var model = models.Get(name, format, plan);
        var alone = await model.AloneAsync();
        var executor = model.Open();
        await using var engine = InferenceEngine.Start(new(), executor);

        for (var i = 0; i < alone.Length; i++)
        {
            var cut = new Random(i).Next(1, alone[i].Tokens.Count);
            var delivered = EngineHarness.Ids(alone[i].Tokens)[..cut];
            var rest = await engine.Submit(model.Requests[i] with
            {
                PromptTokenIds = [.. model.Requests[i].PromptTokenIds, .. delivered],
                ReplayedTokens = delivered.Length,
            }).ReadAll();
            alone[i].AssertSameTokens(rest, from: delivered.Length);
        }

        Assert.Subset(alone.SelectMany(generation => generation.Rows).ToHashSet(), executor.Rows);
    }

    /// <summary>Not promised by the runtime, and so worth knowing.</summary>
    [Theory, MemberData(nameof(Cases))]
    public async Task Generate_OnTwoThreads_EqualsOne(string name, WeightFormat format, string plan)
    {
        var model = models.Get(name, format, plan);
        var alone = await model.AloneAsync();
        var executor = model.Open(threads: 2);
        await using var engine = InferenceEngine.Start(new(), executor);

        var together = await Task.WhenAll(model.Requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < alone.Length; i++) alone[i].AssertSameTokens(together[i]);
        AssertSameLogits(alone, executor);
    }

    /// <summary>The three prompts together, against what another implementation generated from each.</summary>
    [SharedDataFact]
    public async Task Generate_Stories260K_ContinuesAsTheReference()
    {
        await using var engine = InferenceEngine.Start(new(), models.Get(Stories260K, WeightFormat.Float32, Whole).Open());
        var references = new[] { 1, 2, 3 }
            .Select(prompt => JsonNode.Parse(File.ReadAllText(SharedData.Path("models", "reference", $"stories260K-{prompt}.json")))!)
            .Select(json => (Prompt: json["prompt_tokens"]!.Deserialize<int[]>()!, Ids: json["generated"]!.AsArray().Select(step => (int)step!["id"]!).ToArray()))
            .ToArray();

        var generated = await Task.WhenAll(references
            .Select(reference => engine.Submit(EngineHarness.Request(reference.Prompt, reference.Ids.Length, temperature: 0)))
            .ToArray()
            .Select(handle => handle.ReadAll()));

        for (var i = 0; i < references.Length; i++) Assert.Equal(references[i].Ids, EngineHarness.Ids(generated[i]));
    }

    /// <summary>Every row of logits that a request was sampled from alone was computed here too, and no other.</summary>
    private static void AssertSameLogits(Generation[] alone, RecordingExecutor executor) =>
        Assert.Equal(alone.SelectMany(generation => generation.Rows).ToHashSet(), executor.Rows);

    /// <summary>Imports every case once.</summary>
    public sealed class Models : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly Dictionary<(string, WeightFormat, string), ExactnessModel> _models = [];

        public ExactnessModel Get(string name, WeightFormat format, string plan = Whole)
        {
            if (!_models.TryGetValue((name, format, plan), out var model))
            {
                var source = name == TinyAssistant ? EmbeddedModel.Folder : SharedData.Path("models", name);
                _models[(name, format, plan)] = model = new(source, format, _folder[$"{name}-{format}-{plan}"], plan);
            }

            return model;
        }

        public void Dispose() => _folder.Dispose();
    }
}
