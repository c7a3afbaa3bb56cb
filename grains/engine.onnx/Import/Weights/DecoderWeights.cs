using Granary.Engine.Onnx.Import.Configuration;
using Granary.Engine.Onnx.Import.Safetensors;

namespace Granary.Engine.Onnx.Import.Weights;

/// <summary>Tensors of one decoder layer. Matrices are [outputs, inputs]; biases and norms null where the family has none.</summary>
internal sealed record LayerWeights(
    CheckpointTensor InputNorm,
    MatrixSource Qkv,
    CheckpointTensor[]? QkvBias,
    CheckpointTensor? QueryNorm,
    CheckpointTensor? KeyNorm,
    MatrixSource Output,
    CheckpointTensor? OutputBias,
    CheckpointTensor MlpNorm,
    MatrixSource GateUp,
    CheckpointTensor[]? GateUpBias,
    MatrixSource Down,
    CheckpointTensor? DownBias);

/// <summary>Finds the tensors a configuration calls for and refuses a checkpoint that lacks one, has one more, or one of another shape or type.</summary>
internal sealed class DecoderWeights
{
    private readonly Checkpoint _checkpoint;
    private readonly HashSet<string> _taken = new(StringComparer.Ordinal);

    public DecoderWeights(Checkpoint checkpoint, ModelConfiguration config)
    {
        _checkpoint = checkpoint;
        Embedding = Take("model.embed_tokens.weight", config.VocabularySize, config.HiddenSize);
        Layers = [.. Enumerable.Range(0, config.LayerCount).Select(layer => Layer(config, $"model.layers.{layer}."))];
        FinalNorm = Take("model.norm.weight", config.HiddenSize);
        var head = config.TiedEmbeddings ? Embedding : Take("lm_head.weight", config.VocabularySize, config.HiddenSize);
        Head = new MatrixSource(head);
        RefuseOthers(config);
    }

    /// <summary>[vocabulary, hidden].</summary>
    public CheckpointTensor Embedding { get; }

    public IReadOnlyList<LayerWeights> Layers { get; }

    public CheckpointTensor FinalNorm { get; }

    /// <summary>[vocabulary, hidden]; the embedding when tied.</summary>
    public MatrixSource Head { get; }

    /// <summary>Elements of all tensors used, each counted once.</summary>
    public long ParameterCount => _taken.Sum(name => _checkpoint.Tensors[name].ElementCount);

    private LayerWeights Layer(ModelConfiguration c, string prefix)
    {
        var attention = prefix + "self_attn.";
        var mlp = prefix + "mlp.";
        var (queries, keys) = ((long)c.HeadCount * c.HeadSize, (long)c.KvHeadCount * c.HeadSize);
        return new LayerWeights(
            InputNorm: Take(prefix + "input_layernorm.weight", c.HiddenSize),
            Qkv: c.FusedProjections
                ? new MatrixSource(Take(attention + "qkv_proj.weight", c.QkvSize, c.HiddenSize))
                : new MatrixSource(
                    Take(attention + "q_proj.weight", queries, c.HiddenSize),
                    Take(attention + "k_proj.weight", keys, c.HiddenSize),
                    Take(attention + "v_proj.weight", keys, c.HiddenSize)),
            QkvBias: c.QkvBias ? [Take(attention + "q_proj.bias", queries), Take(attention + "k_proj.bias", keys), Take(attention + "v_proj.bias", keys)] : null,
            QueryNorm: c.QkNorm ? Take(attention + "q_norm.weight", c.HeadSize) : null,
            KeyNorm: c.QkNorm ? Take(attention + "k_norm.weight", c.HeadSize) : null,
            Output: new MatrixSource(Take(attention + "o_proj.weight", c.HiddenSize, queries)),
            OutputBias: c.OutputBias ? Take(attention + "o_proj.bias", c.HiddenSize) : null,
            MlpNorm: Take(prefix + "post_attention_layernorm.weight", c.HiddenSize),
            GateUp: c.FusedProjections
                ? new MatrixSource(Take(mlp + "gate_up_proj.weight", 2L * c.IntermediateSize, c.HiddenSize))
                : new MatrixSource(
                    Take(mlp + "gate_proj.weight", c.IntermediateSize, c.HiddenSize),
                    Take(mlp + "up_proj.weight", c.IntermediateSize, c.HiddenSize)),
            GateUpBias: c.MlpBias ? [Take(mlp + "gate_proj.bias", c.IntermediateSize), Take(mlp + "up_proj.bias", c.IntermediateSize)] : null,
            Down: new MatrixSource(Take(mlp + "down_proj.weight", c.HiddenSize, c.IntermediateSize)),
            DownBias: c.MlpBias ? Take(mlp + "down_proj.bias", c.HiddenSize) : null);
    }

    private CheckpointTensor Take(string name, params long[] shape)
    {
        if (!_checkpoint.Tensors.TryGetValue(name, out var tensor))
            throw new ModelImportException($"Tensor {name} is missing, expected with shape [{string.Join(", ", shape)}].");
        if (!tensor.Shape.AsSpan().SequenceEqual(shape))
            throw new ModelImportException($"{tensor.File}: tensor {name} has shape [{string.Join(", ", tensor.Shape)}], expected [{string.Join(", ", shape)}].");
        if (!SafetensorsTypes.IsWeight(tensor.Type))
            throw new ModelImportException($"{tensor.File}: tensor {name} has dtype {tensor.Type}, supported: F32, F16, BF16.");
        _taken.Add(name);
        return tensor;
    }

    /// <summary>A tensor nobody asked for may mean another computation (a bias, an adapter), so it is refused; two kinds are known to be idle.</summary>
    private void RefuseOthers(ModelConfiguration config)
    {
        foreach (var (name, tensor) in _checkpoint.Tensors)
        {
            var idle = name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal) || (config.TiedEmbeddings && name == "lm_head.weight");
            if (!idle && !_taken.Contains(name))
                throw new ModelImportException($"{tensor.File}: tensor {name} of shape [{string.Join(", ", tensor.Shape)}] has no place in {config.Architecture} with this {ModelConfigurationReader.FileName}.");
        }
    }
}
