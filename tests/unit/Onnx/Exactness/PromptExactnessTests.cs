using Granary.Engine;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Prompts;
using Granary.Engine.Sampling;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;

namespace Granary.Tests.Unit.Onnx.Exactness;

/// <summary>The contract for what is read off prompts: embeddings and log-probabilities are the same bits whatever else the engine does.</summary>
public sealed class PromptExactnessTests(ExactnessTests.Models models) : IClassFixture<ExactnessTests.Models>
{
    private const int PromptCount = 8;

    public static TheoryData<string, WeightFormat, string> Cases() => ExactnessTests.Cases();

    [Theory, MemberData(nameof(Cases))]
    public async Task Read_AmongOthersInChunks_EqualsAlone(string name, WeightFormat format, string plan)
    {
        var model = models.Get(name, format, plan);
        var requests = Requests(model);
        var alone = await AloneAsync(model, requests);
        foreach (var tokensPerStep in new[] { 1, 7, 16, 64, 2048 })
        {
            var executor = model.Open();
            await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = tokensPerStep }, executor);

            // Generations of the same prompts run beside them, and leave prefixes in the cache.
            var together = await Task.WhenAll(model.Requests[..PromptCount].Concat(requests).Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

            for (var i = 0; i < alone.Length; i++) AssertSame(alone[i], together[PromptCount + i]);
            Assert.Equal(0, engine.Load.KvBlocksUsed);
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task Read_Preempted_EqualsAlone(string name, WeightFormat format, string plan)
    {
        var model = models.Get(name, format, plan);
        var requests = Requests(model);
        var alone = await AloneAsync(model, requests);
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 24 }, model.Open(blocks: 18));

        var squeezed = await Task.WhenAll(model.Requests.Concat(requests).Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < alone.Length; i++) AssertSame(alone[i], squeezed[model.Requests.Length + i]);
        Assert.True(engine.Load.Preemptions > 0, "blocks never ran out");
    }

    /// <summary>Log-probabilities of a generated text, read off as a prompt, are those it was generated with: one row, one result.</summary>
    [Theory, MemberData(nameof(Cases))]
    public async Task Score_OfAGeneratedText_EqualsItsGeneration(string name, WeightFormat format, string plan)
    {
        var model = models.Get(name, format, plan);
        var request = EngineHarness.Request(model.Requests[3].PromptTokenIds, 20, temperature: 0.8f);
        request = request with { Sampling = request.Sampling with { TopLogprobs = 3 } };
        await using var engine = InferenceEngine.Start(new(), model.Open());
        var generated = await engine.Submit(request).ReadAll();

        int[] text = [.. request.PromptTokenIds, .. EngineHarness.Ids(generated)];
        var scores = (await engine.Submit(EngineHarness.Request(text, 0) with { PromptLogprobs = 3 }).ReadAll())[0].Prompt!.Logprobs!;

        for (var i = 0; i < generated.Count; i++)
        {
            var score = scores[request.PromptTokenIds.Length - 1 + i];
            Assert.Equal(Generation.Bits(generated[i].Logprobs!), Generation.Bits(score));
        }
    }

    /// <summary>A trained model's pooled states against the plain forward pass over its weights.</summary>
    [SharedDataFact]
    public async Task Embed_Stories260K_PoolsThePlainForwardPass()
    {
        var model = models.Get("stories260K", WeightFormat.Float32);
        var prompt = EngineHarness.RandomPrompt(new(8), 40, vocabulary: 512);
        var states = new NaiveTransformer(SharedData.Path("models", "stories260K")).Hidden(prompt);
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 9 }, model.Open());

        var mean = (await engine.Submit(Embedding(prompt, Pooling.Mean)).ReadAll())[0].Prompt!.Embedding!;
        var last = (await engine.Submit(Embedding(prompt, Pooling.Last)).ReadAll())[0].Prompt!.Embedding!;

        Assert.Equal(states[0].Length, mean.Length);
        for (var i = 0; i < mean.Length; i++)
        {
            Assert.Equal(states.Average(state => state[i]), mean[i], 1e-3);
            Assert.Equal(states[^1][i], last[i], 1e-3);
        }
    }

    private static EngineRequest[] Requests(ExactnessModel model) =>
        [.. model.Requests[..PromptCount].SelectMany(request => new[]
        {
            Embedding(request.PromptTokenIds, Pooling.Mean),
            Embedding(request.PromptTokenIds, Pooling.Last),
            EngineHarness.Request(request.PromptTokenIds, maxTokens: request.PromptTokenIds.Length % 3) with { PromptLogprobs = 3 },
        })];

    private static EngineRequest Embedding(int[] prompt, Pooling pooling) =>
        new() { RequestId = "e", PromptTokenIds = prompt, Sampling = SamplingParameters.None, Pooling = pooling };

    private static async Task<List<GeneratedToken>[]> AloneAsync(ExactnessModel model, EngineRequest[] requests)
    {
        var results = new List<GeneratedToken>[requests.Length];
        await using var engine = InferenceEngine.Start(new() { PrefixCaching = false }, model.Open(blocks: 16));
        for (var i = 0; i < requests.Length; i++) results[i] = await engine.Submit(requests[i]).ReadAll();
        return results;
    }

    private static void AssertSame(List<GeneratedToken> expected, List<GeneratedToken> actual)
    {
        Assert.Equal(EngineHarness.Ids(expected), EngineHarness.Ids(actual));
        var (wanted, got) = (expected[0].Prompt!, actual[0].Prompt!);
        Assert.Equal(wanted.Embedding?.Select(BitConverter.SingleToInt32Bits), got.Embedding?.Select(BitConverter.SingleToInt32Bits));
        Assert.Equal(wanted.Logprobs?.SelectMany(Generation.Bits), got.Logprobs?.SelectMany(Generation.Bits));
    }
}
