using Granary.Engine;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;

namespace Granary.Tests.Unit.Onnx.Exactness;

/// <summary>A real model in one weight format, whole or cut into shards, thirty-two requests to it, and what each of them gives alone.</summary>
public sealed class ExactnessModel
{
    private const int RequestCount = 32;
    private readonly ShardedModel _model;
    private readonly Lazy<Task<Generation[]>> _alone;

    /// <param name="plan">Stages × ranks, such as 2x1.</param>
    public ExactnessModel(string source, WeightFormat format, string folder, string plan)
    {
        var sizes = plan.Split('x').Select(int.Parse).ToArray();
        _model = new(source, folder, new ImportOptions { Weights = format }, sizes[0], sizes[1]);
        using var executor = Open(blocks: 8);
        Requests = [.. Enumerable.Range(0, RequestCount).Select(i => Request(new Random(i), i, executor.Shape.VocabularySize))];
        _alone = new(RunAloneAsync);
    }

    public EngineRequest[] Requests { get; }

    /// <summary>What each request gives with a fresh engine to itself: one step for its whole prompt, nothing shared.</summary>
    public Task<Generation[]> AloneAsync() => _alone.Value;

    /// <param name="threads">One is what the contract is stated for.</param>
    public RecordingExecutor Open(int blocks = 512, int threads = 1) =>
        new(_model.Open(new() { IntraOpThreads = threads, KvBlockCount = blocks }));

    /// <summary>Prompts of 1 to 120 tokens; every other request draws with penalties and filters.</summary>
    private static EngineRequest Request(Random random, int index, int vocabulary) => new()
    {
        RequestId = $"request-{index}",
        PromptTokenIds = EngineHarness.RandomPrompt(random, random.Next(1, 121), vocabulary),
        Sampling = index % 2 == 0
            ? new() { MaxTokens = random.Next(8, 40), Temperature = 0, TopLogprobs = 5 }
            : new()
            {
                MaxTokens = random.Next(8, 40),
                Temperature = 1.3f,
                TopK = 100,
                TopP = 0.95f,
                RepetitionPenalty = 1.1f,
                PresencePenalty = 0.5f,
                FrequencyPenalty = 0.25f,
                Seed = (ulong)index,
                TopLogprobs = 5,
            },
    };

    private async Task<Generation[]> RunAloneAsync()
    {
        var generations = new Generation[Requests.Length];
        for (var i = 0; i < Requests.Length; i++)
        {
            var executor = Open(blocks: 16);
            await using var engine = InferenceEngine.Start(new() { PrefixCaching = false }, executor);
            var tokens = await engine.Submit(Requests[i]).ReadAll();
            generations[i] = new(tokens, executor.Rows);
            Assert.Equal(1, executor.WidestStep);
        }

        return generations;
    }
}

/// <summary>What a request gave: its tokens, and digests of the logits they were chosen from.</summary>
public sealed record Generation(IReadOnlyList<GeneratedToken> Tokens, IReadOnlySet<UInt128> Rows)
{
    /// <summary>Ids, ends and log-probabilities are equal to the bit.</summary>
    public void AssertSameTokens(IReadOnlyList<GeneratedToken> others, int from = 0)
    {
        Assert.Equal(EngineHarness.Ids(Tokens).Skip(from), EngineHarness.Ids(others));
        Assert.Equal(Tokens[^1].End, others[^1].End);
        for (var i = 0; i < others.Count; i++)
        {
            Assert.Equal(Tokens[from + i].Index, others[i].Index);
            Assert.Equal(Bits(Tokens[from + i].Logprobs!), Bits(others[i].Logprobs!));
        }
    }

    public static IEnumerable<int> Bits(LogprobRow row) =>
        [BitConverter.SingleToInt32Bits(row.Chosen), .. row.TopTokenIds, .. row.Top.Select(BitConverter.SingleToInt32Bits)];
}
