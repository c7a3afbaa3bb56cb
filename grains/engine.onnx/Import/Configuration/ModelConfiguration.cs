using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Import.Configuration;

/// <summary>What <c>config.json</c> says, with every family's defaults filled in and every value within bounds.</summary>
internal sealed record ModelConfiguration
{
    public required string Architecture { get; init; }

    public required int LayerCount { get; init; }

    public required int HiddenSize { get; init; }

    public required int IntermediateSize { get; init; }

    public required int HeadCount { get; init; }

    public required int KvHeadCount { get; init; }

    public required int HeadSize { get; init; }

    public required int VocabularySize { get; init; }

    /// <summary>Positions to import: the model's, or fewer when the options say so.</summary>
    public required int ContextLength { get; init; }

    public required float NormEpsilon { get; init; }

    /// <summary>The head is the embedding table.</summary>
    public required bool TiedEmbeddings { get; init; }

    public required bool QkvBias { get; init; }

    public required bool OutputBias { get; init; }

    public required bool MlpBias { get; init; }

    /// <summary>Queries and keys are normalised per head before rotation (Qwen3).</summary>
    public required bool QkNorm { get; init; }

    /// <summary>The checkpoint holds qkv_proj and gate_up_proj instead of separate matrices (Phi-3).</summary>
    public required bool FusedProjections { get; init; }

    /// <summary>Per layer, keys that a query sees, its own included; -1 = all.</summary>
    public required int[] Windows { get; init; }

    public required RotaryScaling Rotary { get; init; }

    /// <summary>The sizes that decide how the model can be cut.</summary>
    public ModelShape Shape(ImportOptions options) => new()
    {
        LayerCount = LayerCount,
        HiddenSize = HiddenSize,
        IntermediateSize = IntermediateSize,
        HeadCount = HeadCount,
        KvHeadCount = KvHeadCount,
        HeadSize = HeadSize,
        VocabularySize = VocabularySize,
        ContextLength = ContextLength,
        TiedEmbeddings = TiedEmbeddings,
        WeightBits = options.Target.WeightBits(options.Weights),
    };
}
