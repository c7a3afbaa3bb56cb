using Granary.GrainInterfaces;

namespace Granary.Tests.Chaos;

/// <summary>Draws requests of every kind that must survive: greedy and seeded, with penalties, biases, log-probabilities, stop ids, several choices, long prompts and shared prefixes.</summary>
internal static class RequestMix
{
    private const int Vocabulary = 256;

    /// <param name="count">How many sequences; choices of one request count one each.</param>
    public static List<GenerateRequest> Draw(Random random, int count, int leastTokens = 16, int mostTokens = 96)
    {
        var shared = Ids(random, 64);
        var requests = new List<GenerateRequest>();
        while (requests.Count < count)
        {
            var one = One(random, $"r{requests.Count}-{random.Next(1 << 24):x6}", shared, leastTokens, mostTokens);
            var choices = random.Next(8) == 0 ? Math.Min(random.Next(2, 4), count - requests.Count) : 1;
            for (var choice = 0; choice < choices; choice++)
            {
                requests.Add(choices == 1 ? one : one with { RequestId = $"{one.RequestId}/{choice}", Choice = choice, Group = one.RequestId });
            }
        }

        return requests;
    }

    private static GenerateRequest One(Random random, string id, int[] shared, int leastTokens, int mostTokens) => new()
    {
        RequestId = id,
        Model = ChaosCluster.Model,
        PromptTokenIds = random.Next(3) switch
        {
            0 => [.. shared, .. Ids(random, random.Next(1, 40))],
            1 => Ids(random, random.Next(1, 60)),
            _ => Ids(random, random.Next(60, 400)),
        },
        Sampling = new()
        {
            MaxTokens = random.Next(leastTokens, mostTokens + 1),
            Temperature = random.Next(3) == 0 ? 0 : 0.5f + random.NextSingle(),
            TopK = random.Next(3) == 0 ? random.Next(1, 40) : 0,
            TopP = random.Next(3) == 0 ? 0.6f + 0.4f * random.NextSingle() : 1,
            RepetitionPenalty = random.Next(4) == 0 ? 1.2f : 1,
            PresencePenalty = random.Next(4) == 0 ? 0.7f : 0,
            FrequencyPenalty = random.Next(4) == 0 ? 0.4f : 0,
            LogitBias = random.Next(6) == 0 ? new() { [random.Next(Vocabulary)] = 3, [random.Next(Vocabulary)] = -100 } : null,
            Seed = (ulong)random.NextInt64(),
            StopTokenIds = random.Next(5) == 0 ? [random.Next(Vocabulary), random.Next(Vocabulary)] : null,
            MinTokens = random.Next(5) == 0 ? 8 : 0,
            TopLogprobs = random.Next(4) == 0 ? random.Next(0, 5) : null,
        },
        CacheSalt = random.Next(8) == 0 ? "salt" : null,
    };

    public static int[] Ids(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(Vocabulary))];
}
