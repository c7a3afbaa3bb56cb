using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Prompts;
using Granary.Engine.Sampling;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains.Replicas;

/// <summary>Between what grains say to each other and what an engine takes and gives.</summary>
internal static class ReplicaMapping
{
    public static EngineRequest ToEngine(GenerateRequest request, IReadOnlySet<int> eosTokenIds) => new()
    {
        RequestId = request.RequestId,
        PromptTokenIds = request.PromptTokenIds,
        Sampling = ToEngine(request.Sampling, eosTokenIds),
        Choice = request.Choice,
        CacheSalt = request.CacheSalt,
        PromptLogprobs = request.PromptLogprobs,
        ReplayedTokens = request.ReplayedTokens,
        Alone = request.IsSuspect,
        Deadline = request.Deadline,
    };

    public static EngineRequest ToEngine(EmbedRequest request) => new()
    {
        RequestId = request.RequestId,
        PromptTokenIds = request.TokenIds,
        Sampling = SamplingParameters.None,
        // A value this build does not know stays one, for the engine to refuse.
        Pooling = request.Pooling switch
        {
            PoolingMethod.Mean => Pooling.Mean,
            PoolingMethod.Last => Pooling.Last,
            var other => (Pooling)other,
        },
        CacheSalt = request.CacheSalt,
        Alone = request.IsSuspect,
        Deadline = request.Deadline,
    };

    public static TokenDetail ToDetail(in GeneratedToken token, int entry) => new()
    {
        Entry = entry,
        FinishReason = token.End switch
        {
            null => null,
            SequenceEnd.Stop => FinishReason.Stop,
            SequenceEnd.Length => FinishReason.Length,
            SequenceEnd.Cancelled => FinishReason.Cancelled,
            SequenceEnd.Deadline => FinishReason.Deadline,
            var other => throw new InvalidOperationException($"Unknown end of a sequence: {other}."),
        },
        CachedPromptTokens = token.CachedPromptTokens,
        Logprobs = token.Logprobs is { } row ? ToLogprobs(row) : null,
        PromptLogprobs = token.Prompt?.Logprobs is { } rows ? Array.ConvertAll(rows, ToLogprobs) : null,
    };

    public static ReplicaLoad ToLoad(HostedReplica replica)
    {
        var load = replica.Engine.Load;
        return new ReplicaLoad
        {
            Epoch = replica.Epoch,
            RunningSequences = load.RunningSequences,
            // A long step must not hide what was admitted during it.
            WaitingSequences = Math.Max(load.WaitingSequences, replica.Users - load.RunningSequences),
            PendingPrefillTokens = load.PendingPrefillTokens,
            KvBlocksTotal = load.KvBlocksTotal,
            KvBlocksUsed = load.KvBlocksUsed,
            Steps = load.Steps,
            SecondsPerPrefillToken = load.SecondsPerPrefillToken,
            SecondsPerDecodeStep = load.SecondsPerDecodeStep,
            SecondsPerPrefillContext = load.SecondsPerPrefillContext,
            PendingPrefillSeconds = load.PendingPrefillSeconds,
            LongestStepSeconds = load.LongestStepSeconds,
            StepAgeSeconds = load.StepAgeSeconds,
            IsDraining = replica.IsDraining,
        };
    }

    private static TokenLogprobs ToLogprobs(LogprobRow row) => new(row.Chosen, row.TopTokenIds, row.Top);

    private static SamplingParameters ToEngine(SamplingOptions sampling, IReadOnlySet<int> eosTokenIds) => new()
    {
        MaxTokens = sampling.MaxTokens,
        MinTokens = sampling.MinTokens,
        Temperature = sampling.Temperature,
        TopK = sampling.TopK,
        TopP = sampling.TopP,
        MinP = sampling.MinP,
        RepetitionPenalty = sampling.RepetitionPenalty,
        PresencePenalty = sampling.PresencePenalty,
        FrequencyPenalty = sampling.FrequencyPenalty,
        LogitBias = sampling.LogitBias,
        Seed = sampling.Seed,
        StopTokenIds = StopIds(sampling, eosTokenIds),
        TopLogprobs = sampling.TopLogprobs,
    };

    private static IReadOnlySet<int> StopIds(SamplingOptions sampling, IReadOnlySet<int> eosTokenIds)
    {
        var own = sampling.IgnoreEos ? FrozenSet<int>.Empty : eosTokenIds;
        return sampling.StopTokenIds is { Length: > 0 } asked ? new HashSet<int>([.. own, .. asked]) : own;
    }
}
