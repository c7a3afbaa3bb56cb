namespace Granary.Engine.Partitioning;

/// <summary>The sizes of a decoder that decide how it can be cut and what its parts cost; from <c>config.json</c> and the weight format.</summary>
public sealed record ModelShape
{
    public required int LayerCount { get; init; }

    public required int HiddenSize { get; init; }

    /// <summary>Columns of the feed-forward network: rows of gate and up each.</summary>
    public required int IntermediateSize { get; init; }

    public required int HeadCount { get; init; }

    public required int KvHeadCount { get; init; }

    public required int HeadSize { get; init; }

    public required int VocabularySize { get; init; }

    /// <summary>Most positions of a sequence.</summary>
    public required int ContextLength { get; init; }

    /// <summary>The head is the embedding table. A device holds two all the same: one to gather from, one laid out for products.</summary>
    public required bool TiedEmbeddings { get; init; }

    /// <summary>Bits of a matrix element: 32, 16, 8 or 4. With 16 everything is of 16 bits, caches included; those of 8 and 4 bits come in blocks of 32 inputs with one float32 scale.</summary>
    public required int WeightBits { get; init; }
}
