using Granary.Engine.Execution;
using Granary.Engine.Partitioning;

namespace Granary.Tests.Support;

/// <summary>Sizes of a simulated decoder, cut like a real one.</summary>
public sealed record SimulatedModel
{
    public int LayerCount { get; init; } = 6;

    public int HiddenSize { get; init; } = 16;

    public int HeadCount { get; init; } = 4;

    public int KvHeadCount { get; init; } = 2;

    public int IntermediateSize { get; init; } = 8;

    public int VocabularySize { get; init; } = 256;

    public int ContextLength { get; init; } = 1024;

    public int KvBlockCount { get; init; } = 256;

    public int KvBlockTokens { get; init; } = 16;

    public int MaxTokensPerStep { get; init; } = 2048;

    public int MaxSequencesPerStep { get; init; } = 64;

    public int MaxLogitRows { get; init; } = 128;

    /// <summary>[P × T]: the shards' slices, stages of layers as equal as can be.</summary>
    public ShardSlice[] Cut(int stages, int ranks)
    {
        var shape = new ModelShape
        {
            LayerCount = LayerCount,
            HiddenSize = HiddenSize,
            IntermediateSize = IntermediateSize,
            HeadCount = HeadCount,
            KvHeadCount = KvHeadCount,
            HeadSize = 8,
            VocabularySize = VocabularySize,
            ContextLength = ContextLength,
            TiedEmbeddings = false,
            WeightBits = 32,
        };
        return Slicing.Cut(shape, [.. Enumerable.Range(0, stages).Select(stage => (LayerCount + stages - 1 - stage) / stages)], ranks);
    }

    public ExecutorShape Shape(int stepsInFlight) =>
        new(VocabularySize, HiddenSize, ContextLength, KvBlockCount, KvBlockTokens, MaxLogitRows, stepsInFlight);
}
