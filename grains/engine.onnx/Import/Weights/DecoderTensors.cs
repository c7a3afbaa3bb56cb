using Granary.Engine.Onnx.Import.Configuration;
using Granary.Engine.Onnx.Import.Safetensors;
using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Import.Weights;

/// <summary>Names and shapes of all tensors that a configuration calls for, and which of them a shard takes something of.</summary>
internal sealed class DecoderTensors
{
    public const string Embedding = "model.embed_tokens.weight";
    public const string FinalNorm = "model.norm.weight";
    public const string Head = "lm_head.weight";

    private readonly ModelConfiguration _config;
    private readonly ShardSlice _slice;
    private readonly List<(string Name, long[] Shape, bool Needed)> _all = [];
    private readonly HashSet<string> _names;
    private readonly HashSet<string> _needed;

    public DecoderTensors(ModelConfiguration config, ShardSlice slice)
    {
        (_config, _slice) = (config, slice);
        Add(slice.IsFirstStage || (slice.IsLastStage && config.TiedEmbeddings), Embedding, config.VocabularySize, config.HiddenSize);
        for (var layer = 0; layer < config.LayerCount; layer++) AddLayer(layer);
        Add(slice.IsLastStage, FinalNorm, config.HiddenSize);
        if (!config.TiedEmbeddings) Add(slice.IsLastStage, Head, config.VocabularySize, config.HiddenSize);
        _names = _all.Select(tensor => tensor.Name).ToHashSet(StringComparer.Ordinal);
        _needed = _all.Where(tensor => tensor.Needed).Select(tensor => tensor.Name).ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>Elements of all tensors of the whole model.</summary>
    public long ParameterCount => _all.Sum(tensor => tensor.Shape.Aggregate(1L, (product, dimension) => product * dimension));

    public static string Layer(int layer) => $"model.layers.{layer}.";

    /// <summary>Whether the configuration calls for it.</summary>
    public bool Contains(string name) => _names.Contains(name);

    /// <summary>Whether the shard takes something of it.</summary>
    public bool IsNeeded(string name) => _needed.Contains(name);

    /// <exception cref="ModelImportException">A tensor the shard needs is absent, one that is there has another shape or type, or one has no place.</exception>
    public void Check(Checkpoint checkpoint)
    {
        foreach (var (name, shape, needed) in _all)
        {
            if (checkpoint.Tensors.TryGetValue(name, out var tensor))
            {
                if (!tensor.Shape.AsSpan().SequenceEqual(shape))
                    throw new ModelImportException($"{tensor.File}: tensor {name} has shape [{string.Join(", ", tensor.Shape)}], expected [{string.Join(", ", shape)}].");
                if (!SafetensorsTypes.IsWeight(tensor.Type))
                    throw new ModelImportException($"{tensor.File}: tensor {name} has dtype {tensor.Type}, supported: F32, F16, BF16.");
            }
            else if (needed || !checkpoint.Names.Contains(name))
                throw new ModelImportException($"Tensor {name} is missing, expected with shape [{string.Join(", ", shape)}].");
        }

        foreach (var name in checkpoint.Names)
        {
            // A tensor nobody asked for may mean another computation (a bias, an adapter), so it is refused; two kinds are known to be idle.
            var idle = name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal) || (_config.TiedEmbeddings && name == Head);
            if (idle || Contains(name)) continue;
            var place = checkpoint.Tensors.TryGetValue(name, out var tensor) ? $"{tensor.File}: tensor {name} of shape [{string.Join(", ", tensor.Shape)}]" : $"{Checkpoint.IndexFileName}: tensor {name}";
            throw new ModelImportException($"{place} has no place in {_config.Architecture} with this {ModelConfigurationReader.FileName}.");
        }
    }

    private void AddLayer(int layer)
    {
        var c = _config;
        var (prefix, needed) = (Layer(layer), layer >= _slice.Layers.First && layer < _slice.Layers.End);
        var (attention, mlp) = (prefix + "self_attn.", prefix + "mlp.");
        var (queries, keys) = ((long)c.HeadCount * c.HeadSize, (long)c.KvHeadCount * c.HeadSize);
        Add(needed, prefix + "input_layernorm.weight", c.HiddenSize);
        if (c.FusedProjections) Matrix(attention + "qkv_proj", queries + 2 * keys, c.HiddenSize, bias: false);
        else
        {
            Matrix(attention + "q_proj", queries, c.HiddenSize, c.QkvBias);
            Matrix(attention + "k_proj", keys, c.HiddenSize, c.QkvBias);
            Matrix(attention + "v_proj", keys, c.HiddenSize, c.QkvBias);
        }

        if (c.QkNorm) Add(needed, attention + "q_norm.weight", c.HeadSize);
        if (c.QkNorm) Add(needed, attention + "k_norm.weight", c.HeadSize);
        Matrix(attention + "o_proj", c.HiddenSize, queries, c.OutputBias);
        Add(needed, prefix + "post_attention_layernorm.weight", c.HiddenSize);
        if (c.FusedProjections) Matrix(mlp + "gate_up_proj", 2L * c.IntermediateSize, c.HiddenSize, bias: false);
        else
        {
            Matrix(mlp + "gate_proj", c.IntermediateSize, c.HiddenSize, c.MlpBias);
            Matrix(mlp + "up_proj", c.IntermediateSize, c.HiddenSize, c.MlpBias);
        }

        Matrix(mlp + "down_proj", c.HiddenSize, c.IntermediateSize, c.MlpBias);

        void Matrix(string name, long outputs, long inputs, bool bias)
        {
            Add(needed, name + ".weight", outputs, inputs);
            if (bias) Add(needed, name + ".bias", outputs);
        }
    }

    private void Add(bool needed, string name, params long[] shape) => _all.Add((name, shape, needed));
}
