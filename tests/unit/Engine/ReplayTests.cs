using Granary.Engine;
using Granary.Engine.Simulation;
using Granary.Tests.Unit.Onnx.Exactness;

namespace Granary.Tests.Unit.Engine;

/// <summary>Prompt and delivered tokens, given to another engine, go on to the bit as the run that was cut off.</summary>
public sealed class ReplayTests
{
    private const int Vocabulary = 256;

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 40)];

    /// <summary>Any request cut anywhere, once or again and again, alone or among others, with its prefix in the cache or not.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public async Task Generate_CutAtAnyPlaces_GoesOnAsUninterrupted(int seed)
    {
        var random = new Random(seed);
        var requests = Requests(random);
        await using var whole = Start(random, depth: 1);
        var expected = new List<List<GeneratedToken>>();
        foreach (var request in requests) expected.Add(await whole.Submit(request).ReadAll());

        var lives = Enumerable.Range(0, 3).Select(_ => Start(random, depth: 1 + seed % 4)).ToArray();
        try
        {
            await Task.WhenAll(requests.Select((request, i) =>
            {
                int[] cuts = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => random.Next(expected[i].Count)).Order()];
                return CutAndGoOnAsync(lives, request, cuts, expected[i]);
            }));
        }
        finally
        {
            foreach (var life in lives) await life.DisposeAsync();
        }
    }

    /// <summary>Reads up to each cut, leaves, and goes on in the next life with what it has.</summary>
    private static async Task CutAndGoOnAsync(InferenceEngine[] lives, EngineRequest request, int[] cuts, List<GeneratedToken> expected)
    {
        var delivered = new List<GeneratedToken>();
        for (var life = 0; life <= cuts.Length; life++)
        {
            var until = life < cuts.Length ? cuts[life] : int.MaxValue;
            await using var handle = lives[life % lives.Length].Submit(request with
            {
                PromptTokenIds = [.. request.PromptTokenIds, .. EngineHarness.Ids(delivered)],
                ReplayedTokens = delivered.Count,
                Alone = life == 2,
            });
            while (delivered.Count < until && await handle.WaitToReadAsync().AsTask().WaitAsync(EngineHarness.Patience))
            {
                while (delivered.Count < until && handle.TryRead(out var token)) delivered.Add(token);
            }
        }

        Assert.Equal(expected.Select(Comparable), delivered.Select(Comparable));
    }

    private static (int Index, int Id, SequenceEnd? End, string Logprobs) Comparable(GeneratedToken token) =>
        (token.Index, token.TokenId, token.End, token.Logprobs is { } row ? string.Join(',', Generation.Bits(row)) : "");

    /// <summary>Every way to choose tokens, some prompts that begin alike, and choices of one prompt.</summary>
    private static List<EngineRequest> Requests(Random random)
    {
        var stem = EngineHarness.RandomPrompt(random, 40);
        var requests = new List<EngineRequest>();
        for (var i = 0; i < 8; i++)
        {
            var tail = EngineHarness.RandomPrompt(random, random.Next(1, 60));
            var max = random.Next(1, 50);
            var request = new EngineRequest
            {
                RequestId = $"request-{i}",
                PromptTokenIds = random.Next(2) == 0 ? [.. stem, .. tail] : tail,
                CacheSalt = random.Next(4) == 0 ? "salt" : null,
                Sampling = new()
                {
                    MaxTokens = max,
                    MinTokens = random.Next(2) == 0 ? random.Next(max) : 0,
                    Temperature = random.Next(3) * 0.6f,
                    TopK = random.Next(2) * 20,
                    TopP = random.Next(2) == 0 ? 1 : 0.9f,
                    MinP = random.Next(4) == 0 ? 0.05f : 0,
                    RepetitionPenalty = random.Next(2) == 0 ? 1 : 1.2f,
                    PresencePenalty = random.Next(2) * 0.5f,
                    FrequencyPenalty = random.Next(2) * 0.25f,
                    LogitBias = random.Next(2) == 0 ? null : new Dictionary<int, float> { [random.Next(Vocabulary)] = 3, [random.Next(Vocabulary)] = -100 },
                    Seed = (ulong)random.NextInt64(),
                    StopTokenIds = random.Next(2) == 0 ? new HashSet<int>() : [.. EngineHarness.RandomPrompt(random, 4)],
                    TopLogprobs = random.Next(2) == 0 ? null : random.Next(6),
                },
            };
            for (var choice = random.Next(3); choice >= 0; choice--) requests.Add(request with { Choice = choice });
        }

        return requests;
    }

    private static InferenceEngine Start(Random random, int depth) => InferenceEngine.Start(
        new() { MaxTokensPerStep = random.Next(8, 200), PrefixCaching = random.Next(4) > 0 },
        new SimulatedExecutor(new() { VocabularySize = Vocabulary, KvBlockCount = random.Next(12, 100), StepsInFlight = depth }));
}
