using System.Globalization;
using System.Text;
using Granary.Engine;
using Granary.GrainInterfaces;

namespace Granary.Tests.Chaos;

/// <summary>Compares what callers got with what an engine alone gives: ids, places, log-probabilities to the bit, and the end.</summary>
internal static class Exactness
{
    /// <summary>What is wrong with an answer; null where it is right.</summary>
    public static string? Difference(StreamRecord got, GeneratedToken[] right)
    {
        if (got.Error is { } error) return $"failed after {got.Chunks.Count} of {right.Length}: {error.GetType().Name}: {error.Message}";
        for (var i = 0; i < Math.Max(got.Chunks.Count, right.Length); i++)
        {
            if (i == got.Chunks.Count) return $"ended after {i} of {right.Length} chunks";
            var chunk = got.Chunks[i].Chunk;
            if (i == right.Length) return $"chunk {i} is one too many: {Text(chunk)}";
            if (chunk.Index != right[i].Index || chunk.TokenId != right[i].TokenId || chunk.FinishReason != EndOf(right[i]) || !LogprobsEqual(chunk.Logprobs, right[i].Logprobs))
                return $"chunk {i} is {Text(chunk)} and should be {Text(right[i])}; {got.Lives} lives took part";
        }

        return null;
    }

    /// <summary>Fails with every difference.</summary>
    public static void Require(IReadOnlyList<StreamRecord> got, GeneratedToken[][] right, Predicate<StreamRecord> except)
    {
        var wrong = new StringBuilder();
        for (var i = 0; i < got.Count; i++)
        {
            if (!except(got[i]) && Difference(got[i], right[i]) is { } difference)
                wrong.AppendLine(CultureInfo.InvariantCulture, $"{got[i].Request.RequestId} by {got[i].Caller} from {got[i].Began.TotalSeconds:0.000} to {got[i].Ended.TotalSeconds:0.000}: {difference}");
        }

        if (wrong.Length > 0) Assert.Fail(wrong.ToString());
    }

    private static bool LogprobsEqual(TokenLogprobs? got, LogprobRow? right) =>
        got is null || right is null
            ? got is null == right is null
            : got.Chosen.Equals(right.Chosen) && got.TopTokenIds.AsSpan().SequenceEqual(right.TopTokenIds) && got.Top.AsSpan().SequenceEqual(right.Top);

    private static FinishReason? EndOf(in GeneratedToken token) => token.End switch
    {
        null => null,
        SequenceEnd.Stop => FinishReason.Stop,
        SequenceEnd.Length => FinishReason.Length,
        var other => throw new InvalidOperationException($"An unfailed answer ended with {other}."),
    };

    private static string Text(in TokenChunk chunk) => $"{chunk.Index}:{chunk.TokenId} {chunk.FinishReason} {chunk.Logprobs?.Chosen}";

    private static string Text(in GeneratedToken token) => $"{token.Index}:{token.TokenId} {token.End} {token.Logprobs?.Chosen}";
}
