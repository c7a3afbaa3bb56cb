using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Import;

/// <summary>What everything but the graph writer needs to know of an imported model, or of a part of one. Stored as <c>granary.json</c> in its folder.</summary>
/// <remarks>Sizes are those of the whole model; <see cref="Part"/> says what of it the folder holds.</remarks>
public sealed partial record ModelDescription
{
    public const string FileName = "granary.json";
    public const string GraphFileName = "model.onnx";
    public const string WeightsFileName = "model.onnx.data";

    /// <summary>Version of the folder's layout; another one is imported again.</summary>
    public required int FormatVersion { get; init; }

    /// <summary>Content fingerprint of the source folder and the import options (SHA-256, hex).</summary>
    public required string Fingerprint { get; init; }

    /// <summary>As in <c>config.json</c>: <c>LlamaForCausalLM</c> …</summary>
    public required string Architecture { get; init; }

    public required WeightFormat Weights { get; init; }

    /// <summary>What the graph is made for.</summary>
    public ModelTarget Target { get; init; }

    public required int LayerCount { get; init; }

    public required int HiddenSize { get; init; }

    /// <summary>Columns of the feed-forward network.</summary>
    public required int IntermediateSize { get; init; }

    public required int HeadCount { get; init; }

    public required int KvHeadCount { get; init; }

    public required int HeadSize { get; init; }

    public required int VocabularySize { get; init; }

    /// <summary>Most positions the model was made for.</summary>
    public required int ContextLength { get; init; }

    /// <summary>The head is the embedding table.</summary>
    public required bool TiedEmbeddings { get; init; }

    /// <summary>What of the model the folder holds; null is all of it.</summary>
    public ShardSlice? Slice { get; init; }

    /// <summary>What of the model the folder holds.</summary>
    public ShardSlice Part => Slice ?? ShardSlice.Whole(Shape);

    /// <summary>The whole model's sizes.</summary>
    public ModelShape Shape => new()
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
        WeightBits = Target.WeightBits(Weights),
    };

    /// <summary>Ids that end a sequence, from generation_config.json or config.json.</summary>
    public required int[] EosTokenIds { get; init; }

    /// <summary>Parameters of the whole model, embedding counted once when tied.</summary>
    public required long ParameterCount { get; init; }

    /// <summary>What a request that says nothing gets, from generation_config.json; null where that says nothing.</summary>
    public GenerationDefaults Defaults { get; init; } = new();
}

/// <summary>Sampling values a model recommends.</summary>
public sealed record GenerationDefaults(float? Temperature = null, int? TopK = null, float? TopP = null, float? MinP = null, float? RepetitionPenalty = null);

/// <summary>How matrices are stored and multiplied.</summary>
public enum WeightFormat
{
    Float32,

    /// <summary>8 bits in blocks of 32 with one scale each (MatMulNBits).</summary>
    Int8,

    /// <summary>4 bits in blocks of 32 with one scale each (MatMulNBits).</summary>
    Int4,
}

/// <summary>Sizes of the formats.</summary>
internal static class WeightFormats
{
    /// <summary>Bits of an element of a matrix, without its block's scale.</summary>
    public static int WeightBits(this ModelTarget target, WeightFormat format) => format switch
    {
        WeightFormat.Int8 => 8,
        WeightFormat.Int4 => 4,
        _ => target == ModelTarget.Cpu ? 32 : 16,
    };
}
