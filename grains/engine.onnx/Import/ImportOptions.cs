using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Import;

/// <summary>What an import makes of a model.</summary>
public sealed record ImportOptions
{
    /// <summary>How matrices are stored. The embedding table, norms and biases stay float32 in every format.</summary>
    public WeightFormat Weights { get; init; } = WeightFormat.Float32;

    /// <summary>Most positions of a sequence.</summary>
    /// <value>
    /// Default 0: what the model was made for. A smaller value makes smaller position tables, and with <c>longrope</c>
    /// scaling at most the original context chooses the short factors, a longer one the long factors, for all positions.
    /// </value>
    public int ContextLength { get; init; }

    /// <summary>What the graph is made for.</summary>
    public ModelTarget Target { get; init; } = ModelTarget.Cpu;

    /// <summary>What of the model is imported: one shard's part.</summary>
    /// <value>Default null: all of it. A part needs only those weight files of the source that hold something of it.</value>
    public ShardSlice? Slice { get; init; }
}

/// <summary>What a graph is made for: its operators, and the type of weights and activations.</summary>
public enum ModelTarget
{
    /// <summary>float32 activations, weights in any <see cref="WeightFormat"/>, attention and sums over ranks by our own operators.</summary>
    Cpu,

    /// <summary>float16 throughout, attention by the runtime's operator; matrices that are not quantised, one rank.</summary>
    CudaFloat16,

    /// <summary>bfloat16 throughout, else as <see cref="CudaFloat16"/>.</summary>
    CudaBFloat16,
}

/// <summary>What an import is doing.</summary>
public enum ImportPhase
{
    /// <summary>Reads and checks configuration and headers. Bytes are unknown yet.</summary>
    Checking,

    /// <summary>Converts and writes weights; bytes are those of the weights file.</summary>
    Writing,

    /// <summary>Makes the written files durable and moves the folder in place.</summary>
    Committing,
}

/// <summary>How far an import is.</summary>
public readonly record struct ImportProgress(ImportPhase Phase, long BytesDone, long BytesTotal);

/// <summary>An imported folder and what it holds.</summary>
public sealed record ImportedModel(string Directory, ModelDescription Description);
