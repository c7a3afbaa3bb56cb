using Granary.Engine.Onnx.Import.Configuration;
using Granary.Engine.Onnx.Import.Safetensors;
using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Import.Weights;

/// <summary>What a shard has of one decoder layer. Matrices are [outputs, inputs]; biases and norms null where the family has none.</summary>
internal sealed record LayerWeights(
    TensorRange InputNorm,
    MatrixSource Qkv,
    TensorRange[]? QkvBias,
    TensorRange? QueryNorm,
    TensorRange? KeyNorm,
    MatrixSource Output,
    TensorRange? OutputBias,
    TensorRange MlpNorm,
    MatrixSource GateUp,
    TensorRange[]? GateUpBias,
    MatrixSource Down,
    TensorRange? DownBias);

/// <summary>Cuts a shard's part out of a checkpoint that <see cref="DecoderTensors"/> has checked.</summary>
/// <remarks>
/// Column-parallel matrices (query, key, value, gate, up) give outputs to a rank, row-parallel ones (output, down) inputs. Their biases
/// are added behind the sum over ranks, so every rank has all of them. Embedding and head are cut by rows of the vocabulary.
/// </remarks>
internal sealed class DecoderWeights
{
    private readonly Checkpoint _checkpoint;
    private readonly DecoderTensors _tensors;
    private readonly ModelConfiguration _config;
    private readonly ShardSlice _slice;

    public DecoderWeights(Checkpoint checkpoint, DecoderTensors tensors, ModelConfiguration config, ShardSlice slice)
    {
        (_checkpoint, _tensors, _config, _slice) = (checkpoint, tensors, config, slice);
        tensors.Check(checkpoint);
        if (slice.IsFirstStage) Embedding = new(Tensor(DecoderTensors.Embedding), (long)slice.Vocabulary.First * config.HiddenSize, (long)slice.Vocabulary.Count * config.HiddenSize);
        Layers = Enumerable.Range(slice.Layers.First, slice.Layers.Count).ToDictionary(layer => layer, layer => Layer(DecoderTensors.Layer(layer)));
        if (!slice.IsLastStage) return;
        FinalNorm = Vector(DecoderTensors.FinalNorm);
        Head = new MatrixSource(Outputs(config.TiedEmbeddings ? DecoderTensors.Embedding : DecoderTensors.Head, 0, slice.Vocabulary));
    }

    /// <summary>The slice's rows of [vocabulary, hidden]; null behind the first stage.</summary>
    public TensorRange? Embedding { get; }

    /// <summary>The slice's layers, by their number in the model.</summary>
    public IReadOnlyDictionary<int, LayerWeights> Layers { get; }

    /// <summary>Null before the last stage.</summary>
    public TensorRange? FinalNorm { get; }

    /// <summary>The slice's rows of [vocabulary, hidden], of the embedding when tied; null before the last stage.</summary>
    public MatrixSource? Head { get; }

    private LayerWeights Layer(string prefix)
    {
        var (attention, mlp) = (prefix + "self_attn.", prefix + "mlp.");
        var size = _config.HeadSize;
        var (queries, keys) = (_config.HeadCount * size, _config.KvHeadCount * size);
        var (heads, kvHeads) = (Scale(_slice.Heads, size), Scale(_slice.KvHeads, size));
        return new LayerWeights(
            InputNorm: Vector(prefix + "input_layernorm.weight"),
            Qkv: _config.FusedProjections
                ? new MatrixSource(
                    Outputs(attention + "qkv_proj.weight", 0, heads),
                    Outputs(attention + "qkv_proj.weight", queries, kvHeads),
                    Outputs(attention + "qkv_proj.weight", queries + keys, kvHeads))
                : new MatrixSource(
                    Outputs(attention + "q_proj.weight", 0, heads),
                    Outputs(attention + "k_proj.weight", 0, kvHeads),
                    Outputs(attention + "v_proj.weight", 0, kvHeads)),
            QkvBias: _config.QkvBias
                ? [Range(attention + "q_proj.bias", heads), Range(attention + "k_proj.bias", kvHeads), Range(attention + "v_proj.bias", kvHeads)]
                : null,
            QueryNorm: OptionalVector(attention + "q_norm.weight"),
            KeyNorm: OptionalVector(attention + "k_norm.weight"),
            Output: new MatrixSource(Inputs(attention + "o_proj.weight", heads)),
            OutputBias: OptionalVector(attention + "o_proj.bias"),
            MlpNorm: Vector(prefix + "post_attention_layernorm.weight"),
            GateUp: _config.FusedProjections
                ? new MatrixSource(
                    Outputs(mlp + "gate_up_proj.weight", 0, _slice.Intermediate),
                    Outputs(mlp + "gate_up_proj.weight", _config.IntermediateSize, _slice.Intermediate))
                : new MatrixSource(Outputs(mlp + "gate_proj.weight", 0, _slice.Intermediate), Outputs(mlp + "up_proj.weight", 0, _slice.Intermediate)),
            GateUpBias: _config.MlpBias ? [Range(mlp + "gate_proj.bias", _slice.Intermediate), Range(mlp + "up_proj.bias", _slice.Intermediate)] : null,
            Down: new MatrixSource(Inputs(mlp + "down_proj.weight", _slice.Intermediate)),
            DownBias: OptionalVector(mlp + "down_proj.bias"));
    }

    private CheckpointTensor Tensor(string name) => _checkpoint.Tensors[name];

    private TensorRange Vector(string name) => new(Tensor(name), 0, Tensor(name).ElementCount);

    /// <summary>Null where the family has none.</summary>
    private TensorRange? OptionalVector(string name) => _tensors.Contains(name) ? Vector(name) : null;

    private TensorRange Range(string name, Slice part) => new(Tensor(name), part.First, part.Count);

    /// <summary>Rows of a matrix, counted from where its part of a fused one begins.</summary>
    private MatrixRange Outputs(string name, long begin, Slice part) => new(Tensor(name), begin + part.First, part.Count, 0, Tensor(name).Shape[1]);

    /// <summary>All rows of some columns.</summary>
    private MatrixRange Inputs(string name, Slice part) => new(Tensor(name), 0, Tensor(name).Shape[0], part.First, part.Count);

    private static Slice Scale(Slice heads, int size) => new(heads.First * size, heads.Count * size);
}
