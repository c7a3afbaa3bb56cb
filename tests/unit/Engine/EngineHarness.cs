using Granary.Engine;
using Granary.Engine.Simulation;

namespace Granary.Tests.Unit.Engine;

/// <summary>Requests and reads of the engine tests.</summary>
internal static class EngineHarness
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Steps in flight that must make no difference.</summary>
    public static TheoryData<int> Depths => [1, 2, 3, 4];

    /// <summary>Depths, each with every one of the other values.</summary>
    public static IEnumerable<object[]> DepthsWith(int[] values) =>
        from depth in Enumerable.Range(1, 4) from value in values select new object[] { depth, value };

    public static EngineRequest Request(
        int[] prompt, int maxTokens, float temperature = 1, ulong seed = 7, string? id = null) => new()
        {
            RequestId = id ?? "r",
            PromptTokenIds = prompt,
            Sampling = new() { MaxTokens = maxTokens, Temperature = temperature, Seed = seed },
        };

    public static int[] RandomPrompt(Random random, int length, int vocabulary = 256)
    {
        var prompt = new int[length];
        for (var i = 0; i < length; i++) prompt[i] = random.Next(vocabulary);
        return prompt;
    }

    public static ISequenceHandle Submit(this IInferenceEngine engine, EngineRequest request)
    {
        var handle = engine.TrySubmit(request, out var refusal);
        Assert.True(handle is not null, refusal?.Message);
        return handle;
    }

    public static async Task<List<GeneratedToken>> ReadAll(this ISequenceHandle handle)
    {
        var tokens = new List<GeneratedToken>();
        while (await handle.WaitToReadAsync().AsTask().WaitAsync(Patience))
        {
            while (handle.TryRead(out var token)) tokens.Add(token);
        }

        return tokens;
    }

    /// <summary>What a request generates with the device to itself, no sharing and one step for its whole prompt.</summary>
    public static async Task<int[]> Alone(EngineRequest request, SimulatedDevice? device = null)
    {
        await using var engine = InferenceEngine.Start(
            new() { PrefixCaching = false }, new SimulatedExecutor((device ?? new()) with { KvBlockCount = 1024 }));
        return Ids(await engine.Submit(request).ReadAll());
    }

    public static int[] Ids(IEnumerable<GeneratedToken> tokens) => [.. tokens.Where(token => token.TokenId >= 0).Select(token => token.TokenId)];
}
