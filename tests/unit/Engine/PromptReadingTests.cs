using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Prompts;
using Granary.Engine.Sampling;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>What is read off a prompt, its pooled states or its log-probabilities, is the same whatever else the engine does.</summary>
public sealed class PromptReadingTests
{
    private static readonly int[] Prompt = EngineHarness.RandomPrompt(new(21), 75);

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 40)];

    [Theory, MemberData(nameof(EngineHarness.DepthsWith), new[] { 1, 7, 16, 2048 }, MemberType = typeof(EngineHarness))]
    public async Task Embed_AnyChunks_PoolsTheDevicesStates(int depth, int tokensPerStep)
    {
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = tokensPerStep }, new SimulatedExecutor(new() { StepsInFlight = depth }));
        var states = States(Prompt);

        var mean = await EmbedAsync(engine, Pooling.Mean);
        var last = await EmbedAsync(engine, Pooling.Last);

        Assert.Equal(Enumerable.Range(0, 16).Select(i => (float)(states.Aggregate(0.0, (sum, state) => sum + state[i]) / Prompt.Length)), mean);
        Assert.Equal(states[^1], last);
    }

    [Fact]
    public async Task Embed_TakesOnePassAndNoDecodeStep()
    {
        var executor = new RecordingExecutor(new SimulatedExecutor(new()));
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 25 }, executor);

        var tokens = await engine.Submit(Embedding(Prompt, Pooling.Mean)).ReadAll();

        var only = Assert.Single(tokens);
        Assert.Equal((0, -1, 0, SequenceEnd.Length), (only.Index, only.TokenId, only.CachedPromptTokens, only.End));
        Assert.Null(only.Prompt!.Logprobs);
        Assert.Equal((3, 0, 0), (engine.Load.Steps, engine.Load.GenerationTokens, engine.Load.KvBlocksUsed));
        Assert.Equal((75, 0, 75), (executor.Tokens, executor.MostLogitRows, executor.HiddenRows.Count));
    }

    [Fact]
    public async Task Embed_PrefixInTheCache_LastTakesItAndMeanDoesNot()
    {
        var executor = new RecordingExecutor(new SimulatedExecutor(new()));
        await using var engine = InferenceEngine.Start(new(), executor);
        await engine.Submit(EngineHarness.Request(Prompt, 1)).ReadAll();

        var last = Assert.Single(await engine.Submit(Embedding(Prompt, Pooling.Last)).ReadAll());
        Assert.Equal((64, 75 + 11), (last.CachedPromptTokens, executor.Tokens));
        var mean = Assert.Single(await engine.Submit(Embedding(Prompt, Pooling.Mean)).ReadAll());
        Assert.Equal((0, 75 + 11 + 75), (mean.CachedPromptTokens, executor.Tokens));

        Assert.Equal(States(Prompt)[^1], last.Prompt!.Embedding);
        Assert.Equal(await EmbedAloneAsync(Pooling.Mean), mean.Prompt!.Embedding);
        Assert.Equal(64, engine.Load.PrefixCacheHits);
        Assert.Equal(150, engine.Load.PrefixCacheQueries);
    }

    [Fact]
    public async Task Embed_StateIsNotANumber_FaultsInsteadOfAVector()
    {
        await using var engine = InferenceEngine.Start(new(), new BrokenStates(new SimulatedExecutor(new())));
        var error = await Assert.ThrowsAsync<StepFailedException>(() => engine.Submit(Embedding(Prompt, Pooling.Mean)).ReadAll());
        Assert.Contains("Component 3", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, 4096)]
    [InlineData(7, 4096)]
    [InlineData(2048, 4096)]
    [InlineData(2048, 3)]
    public async Task Score_AnyChunks_IsTheLogSoftmaxOfTheDevicesLogits(int tokensPerStep, int logitRows)
    {
        var executor = new RecordingExecutor(new SimulatedExecutor(new() { MaxLogitRows = logitRows }));
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = tokensPerStep }, executor);
        var request = Scored(Prompt, top: 4, maxTokens: 5);
        // What bends the draw leaves the prompt's own figures alone.
        request = request with { Sampling = request.Sampling with { LogitBias = new Dictionary<int, float> { [3] = 50 }, PresencePenalty = 1 } };

        var tokens = await engine.Submit(request).ReadAll();

        AssertScores(Prompt, 4, tokens[0].Prompt!.Logprobs!);
        Assert.All(tokens.Skip(1), token => Assert.Null(token.Prompt));
        Assert.Equal(await EngineHarness.Alone(request with { PromptLogprobs = null }), EngineHarness.Ids(tokens));
        Assert.InRange(executor.MostLogitRows, 1, Math.Min(logitRows, tokensPerStep));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(75)]
    public async Task Score_WithoutTokens_EndsWithLength(int length)
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));

        var only = Assert.Single(await engine.Submit(Scored(Prompt[..length], top: 0, maxTokens: 0)).ReadAll());

        Assert.Equal((0, -1, SequenceEnd.Length), (only.Index, only.TokenId, only.End));
        AssertScores(Prompt[..length], 0, only.Prompt!.Logprobs!);
        Assert.Equal((0, 0), (engine.Load.GenerationTokens, engine.Load.KvBlocksUsed));
    }

    [Fact]
    public async Task Score_PrefixInTheCache_TakesNothingFromIt()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));
        await engine.Submit(EngineHarness.Request(Prompt, 1)).ReadAll();

        var tokens = await engine.Submit(Scored(Prompt, top: 2, maxTokens: 3)).ReadAll();

        Assert.All(tokens, token => Assert.Equal(0, token.CachedPromptTokens));
        AssertScores(Prompt, 2, tokens[0].Prompt!.Logprobs!);
    }

    [Fact]
    public async Task Score_ContextIsFull_FitsWithoutATokenAndNotWithOne()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { ContextLength = 75 }));

        Assert.Null(engine.TrySubmit(Scored(Prompt, top: 0, maxTokens: 1), out var refusal));
        Assert.Contains("with one generated token it must fit 75", refusal!.Message, StringComparison.Ordinal);
        AssertScores(Prompt, 0, (await engine.Submit(Scored(Prompt, top: 0, maxTokens: 0)).ReadAll())[0].Prompt!.Logprobs!);
    }

    /// <summary>Rows of logits are scarce, blocks run out, readers are slow, prompts repeat: every result is what it is alone.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public async Task AnyMixtureOfRequests_EachEqualsAlone(int seed)
    {
        var random = new Random(seed);
        var prompts = Enumerable.Range(0, 5).Select(_ => EngineHarness.RandomPrompt(random, random.Next(1, 110))).ToArray();
        var requests = Enumerable.Range(0, 24).Select(i => Any(random, prompts[random.Next(5)], (ulong)i)).ToArray();
        var device = new SimulatedDevice { KvBlockCount = random.Next(9, 24), MaxLogitRows = random.Next(2, 12), StepsInFlight = 1 + seed % 4 };
        var options = new EngineOptions { MaxTokensPerStep = random.Next(1, 90), MaxBufferedTokens = random.Next(1, 30) };
        var executor = new RecordingExecutor(new SimulatedExecutor(device));
        await using var engine = InferenceEngine.Start(options, executor);

        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < requests.Length; i++)
        {
            var alone = await RunAloneAsync(requests[i]);
            Assert.Equal(EngineHarness.Ids(alone), EngineHarness.Ids(results[i]));
            Assert.Equal(alone[0].Prompt?.Embedding, results[i][0].Prompt?.Embedding);
            AssertSame(alone[0].Prompt?.Logprobs, results[i][0].Prompt?.Logprobs);
            if (requests[i].Sampling.TopLogprobs is not null)
                AssertSame([.. alone.Select(token => token.Logprobs!)], [.. results[i].Select(token => token.Logprobs!)]);
            Assert.All(results[i].Skip(1), token => Assert.Null(token.Prompt));
        }

        Assert.InRange(executor.MostLogitRows, 0, device.MaxLogitRows);
        Assert.Equal(0, engine.Load.KvBlocksUsed);
    }

    /// <summary>A prompt that is read loses its blocks in the middle, to an older sequence that grows: nothing is lost, and nothing twice.</summary>
    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task Read_PreemptedInTheMiddle_GoesOnWhereItWas(int depth)
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new() { KvBlockCount = 6, KvBlockTokens = 16, StepsInFlight = depth }));
        executor.Hold();
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 2, PrefixCaching = false }, executor);
        var older = engine.Submit(EngineHarness.Request(Prompt[..8], 60));
        var embedding = engine.Submit(Embedding(Prompt, Pooling.Mean));

        executor.Release();
        await older.ReadAll();
        var result = Assert.Single(await embedding.ReadAll());
        Assert.Equal(await EmbedAloneAsync(Pooling.Mean), result.Prompt!.Embedding);
        Assert.True(engine.Load.Preemptions > 0, "blocks never ran out");
    }

    private static EngineRequest Any(Random random, int[] prompt, ulong seed) => random.Next(4) switch
    {
        0 => Embedding(prompt, Pooling.Mean),
        1 => Embedding(prompt, Pooling.Last),
        2 => Scored(prompt, random.Next(3), random.Next(0, 20)),
        3 when random.Next(2) == 0 => EngineHarness.Request(prompt, random.Next(1, 30), seed: seed) is var request
            ? request with { Sampling = request.Sampling with { TopLogprobs = random.Next(4) } } : null!,
        _ => EngineHarness.Request(prompt, random.Next(1, 30), seed: seed),
    };

    private static EngineRequest Embedding(int[] prompt, Pooling pooling) =>
        new() { RequestId = "e", PromptTokenIds = prompt, Sampling = SamplingParameters.None, Pooling = pooling };

    private static EngineRequest Scored(int[] prompt, int top, int maxTokens) => EngineHarness.Request(prompt, maxTokens) with { PromptLogprobs = top };

    private static async Task<float[]> EmbedAsync(InferenceEngine engine, Pooling pooling) =>
        (await engine.Submit(Embedding(Prompt, pooling)).ReadAll())[^1].Prompt!.Embedding!;

    private static async Task<float[]> EmbedAloneAsync(Pooling pooling) => (await RunAloneAsync(Embedding(Prompt, pooling)))[0].Prompt!.Embedding!;

    private static async Task<List<GeneratedToken>> RunAloneAsync(EngineRequest request)
    {
        await using var engine = InferenceEngine.Start(new() { PrefixCaching = false }, new SimulatedExecutor(new()));
        return await engine.Submit(request).ReadAll();
    }

    private static float[][] States(int[] prompt)
    {
        using var executor = new SimulatedExecutor(new());
        var runner = new SequenceRunner(executor);
        runner.Append(prompt);
        return runner.Hidden;
    }

    /// <summary>Against a log-softmax in double precision, straight from the definition.</summary>
    private static void AssertScores(int[] prompt, int top, LogprobRow[] rows)
    {
        using var executor = new SimulatedExecutor(new());
        var runner = new SequenceRunner(executor);
        Assert.Equal(prompt.Length - 1, rows.Length);
        for (var t = 0; t < rows.Length; t++)
        {
            var logits = runner.Append(prompt[t]);
            var logOfSum = Math.Log(logits.Sum(logit => Math.Exp(logit)));
            Assert.Equal(logits[prompt[t + 1]] - logOfSum, rows[t].Chosen, 1e-4);
            var likeliest = Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).Take(top).ToArray();
            Assert.Equal(likeliest, rows[t].TopTokenIds);
            for (var i = 0; i < top; i++) Assert.Equal(logits[likeliest[i]] - logOfSum, rows[t].Top[i], 1e-4);
        }
    }

    private static void AssertSame(LogprobRow[]? expected, LogprobRow[]? actual)
    {
        Assert.Equal(expected?.Select(row => row.Chosen), actual?.Select(row => row.Chosen));
        Assert.Equal(expected?.SelectMany(row => row.TopTokenIds), actual?.SelectMany(row => row.TopTokenIds));
        Assert.Equal(expected?.SelectMany(row => row.Top), actual?.SelectMany(row => row.Top));
    }

    private sealed class BrokenStates(IStepExecutor inner) : IStepExecutor
    {
        public ExecutorShape Shape => inner.Shape;

        public void Begin(StepPlan plan) => inner.Begin(plan);

        public StepOutput End()
        {
            var output = inner.End();
            output.Hidden[3] = float.NaN;
            return output;
        }

        public void Dispose() => inner.Dispose();
    }
}
