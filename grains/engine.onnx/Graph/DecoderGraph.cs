using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Import.Configuration;
using Granary.Engine.Onnx.Import.Weights;
using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Graph;

/// <summary>Builds the graph of a decoder-only model, or of one shard of it, over packed tokens, as <see cref="GraphContract"/> describes its border.</summary>
/// <remarks>
/// Per layer: packed QKV → paged attention → output projection → add and norm → gate and up in one → SiLU(gate) · up → down →
/// add and norm. Every operator but attention works row by row, so a row's result does not depend on the batch. Behind the
/// last attention nothing looks across tokens any more: only the rows whose hidden states are wanted go on
/// from there, and of those only the ones with logits go through the head.
/// Cut into ranks, the products with row-parallel matrices (output, down) and the looked-up embeddings are sums over ranks.
/// </remarks>
internal sealed class DecoderGraph
{
    private readonly GraphBuilder _graph;
    private readonly ModelConfiguration _config;
    private readonly ShardSlice _slice;
    private readonly DecoderWeights _weights;
    private readonly WeightFormat _format;
    private readonly bool _isCuda;
    private readonly OnnxElementType _type;

    private DecoderGraph(ModelConfiguration config, ShardSlice slice, DecoderWeights weights, ImportOptions options)
    {
        _graph = new GraphBuilder(config.Architecture, ModelDescription.WeightsFileName);
        _config = config;
        _slice = slice;
        _weights = weights;
        _format = options.Weights;
        _isCuda = options.Target != ModelTarget.Cpu;
        _type = options.Target switch
        {
            ModelTarget.CudaFloat16 => OnnxElementType.Float16,
            ModelTarget.CudaBFloat16 => OnnxElementType.BFloat16,
            _ => OnnxElementType.Float,
        };
    }

    public static GraphBuilder Build(ModelConfiguration config, ShardSlice slice, DecoderWeights weights, ImportOptions options)
    {
        var graph = new DecoderGraph(config, slice, weights, options);
        graph.Border();
        graph.Body();
        return graph._graph;
    }

    private void Border()
    {
        if (_slice.IsFirstStage) _graph.Input(GraphContract.TokenIds, OnnxElementType.Int32, "tokens");
        else _graph.Input(GraphContract.HiddenIn, OnnxElementType.Float, "tokens", _config.HiddenSize);
        _graph.Input(GraphContract.CumulativeSequenceLength, OnnxElementType.Int32, "sequences_plus_one");
        _graph.Input(GraphContract.PastSequenceLengths, OnnxElementType.Int32, "sequences");
        _graph.Input(GraphContract.BlockTable, OnnxElementType.Int32, "sequences", "blocks_per_sequence");
        if (_isCuda)
        {
            _graph.Input(GraphContract.SlotMapping, OnnxElementType.Int32, "tokens");
            _graph.Input(GraphContract.AttentionMetadata, OnnxElementType.Int32, 2);
        }

        if (_slice.IsLastStage)
        {
            _graph.Input(GraphContract.HiddenRows, OnnxElementType.Int32, "hidden_rows");
            _graph.Input(GraphContract.LogitRows, OnnxElementType.Int32, "logit_rows");
            _graph.Output(GraphContract.Hidden, OnnxElementType.Float, "hidden_rows", _config.HiddenSize);
            _graph.Output(GraphContract.Logits, OnnxElementType.Float, "logit_rows", _slice.Vocabulary.Count);
        }
        else _graph.Output(GraphContract.HiddenOut, OnnxElementType.Float, "tokens", _config.HiddenSize);

        GraphDimension[] cache = ["blocks", "block_tokens", _slice.KvHeads.Count, _config.HeadSize];
        for (var layer = _slice.Layers.First; layer < _slice.Layers.End; layer++)
        {
            _graph.Input(GraphContract.KeyCache(layer), _type, cache);
            _graph.Input(GraphContract.ValueCache(layer), _type, cache);
            _graph.Output(GraphContract.KeyCacheOut(layer), _type, cache);
            _graph.Output(GraphContract.ValueCacheOut(layer), _type, cache);
        }
    }

    private void Body()
    {
        _graph.Constant("cos_cache", new RotaryContent(_type, _config.Rotary, _config.ContextLength, sine: false));
        _graph.Constant("sin_cache", new RotaryContent(_type, _config.Rotary, _config.ContextLength, sine: true));
        var (normed, residual) = _slice.IsFirstStage ? Embedding() : Received();
        for (var layer = _slice.Layers.First; layer < _slice.Layers.End; layer++)
        {
            var weights = _weights.Layers[layer];
            var name = $"layers.{layer}.";
            var qkv = Biased(name + "qkv", Product(name + "qkv", normed, weights.Qkv), weights.QkvBias);
            var attention = Attention(layer, qkv, weights);
            if (layer == _config.LayerCount - 1)
            {
                attention = Rows(name + "attention.rows", attention, GraphContract.HiddenRows);
                residual = Rows(name + "residual.rows", residual, GraphContract.HiddenRows);
            }

            var output = Reduced(Product(name + "output", attention, weights.Output));
            (normed, residual) = AddAndNorm(name + "mlp_norm", output, residual, weights.MlpNorm, weights.OutputBias);
            var down = Reduced(Mlp(name, normed, weights));
            if (layer + 1 < _slice.Layers.End)
                (normed, residual) = AddAndNorm($"layers.{layer + 1}.input_norm", down, residual, _weights.Layers[layer + 1].InputNorm, weights.DownBias);
            else if (_weights.FinalNorm is { } norm)
                (normed, residual) = AddAndNorm(Inner(GraphContract.Hidden), down, residual, norm, weights.DownBias);
            else
                PassOn(down, residual, weights.DownBias);
        }

        if (_weights.Head is not { } head) return;
        Outer(GraphContract.Hidden);
        Product("head", Rows("head.rows", normed, GraphContract.LogitRows), head, Inner(GraphContract.Logits));
        Outer(GraphContract.Logits);
    }

    /// <summary>What an output is called before it is float32.</summary>
    private string Inner(string output) => _isCuda ? output + ".half" : output;

    /// <summary>Makes an output float32, where it is not.</summary>
    private void Outer(string output)
    {
        if (_isCuda) _graph.Node(GraphBuilder.Standard, "Cast", output, [Inner(output)], new GraphAttribute("to", (long)OnnxElementType.Float));
    }

    private (string Normed, string Residual) Embedding()
    {
        // Ids of other ranks look up the row of zeros behind this rank's own, so that the sum over ranks is the looked-up row.
        var rows = _slice.Vocabulary.Count + (_slice.Ranks > 1 ? 1 : 0);
        var table = _graph.Constant("embedding.weight", new PlainContent(_type, [rows, _config.HiddenSize], _weights.Embedding!));
        var residual = Reduced(_graph.Node(GraphBuilder.Standard, "Gather", "embedding", [table, GraphContract.TokenIds], new GraphAttribute("axis", 0)));
        var normed = _graph.Node(
            GraphBuilder.Standard, "SimplifiedLayerNormalization", "layers.0.input_norm", [residual, Vector("layers.0.input_norm.weight", _weights.Layers[0].InputNorm)],
            new GraphAttribute("axis", -1), new GraphAttribute("epsilon", _config.NormEpsilon), new GraphAttribute("stash_type", 1));
        return (normed, residual);
    }

    /// <summary>The residual stream of the stage before, and its norm.</summary>
    private (string Normed, string Residual) Received()
    {
        // The operator that adds and norms inside of a stage, with nothing to add: another norm's sums have another order, and stages
        // alone are to change no bit.
        var received = !_isCuda
            ? GraphContract.HiddenIn
            : _graph.Node(GraphBuilder.Standard, "Cast", Inner(GraphContract.HiddenIn), [GraphContract.HiddenIn], new GraphAttribute("to", (long)_type));
        var nothing = _graph.Node(GraphBuilder.Standard, "Sub", "nothing", [received, received]);
        var first = _slice.Layers.First;
        return AddAndNorm($"layers.{first}.input_norm", received, nothing, _weights.Layers[first].InputNorm, bias: null);
    }

    /// <summary>The residual stream for the next stage, added in the order of the operator that adds and norms inside of a stage.</summary>
    private void PassOn(string down, string residual, TensorRange? bias)
    {
        var passed = Inner(GraphContract.HiddenOut);
        var sum = bias is null ? passed : passed + ".unbiased";
        _graph.Node(GraphBuilder.Standard, "Add", sum, [down, residual]);
        if (bias is not null) _graph.Node(GraphBuilder.Standard, "Add", passed, [sum, Vector(passed + ".bias", bias)]);
        Outer(GraphContract.HiddenOut);
    }

    /// <summary>The sum over the ranks of the stage, where there are several.</summary>
    private string Reduced(string partial) =>
        _slice.Ranks == 1 ? partial : _graph.Node(GraphContract.Domain, GraphContract.AllReduce, partial + ".reduced", [partial]);

    private string Attention(int layer, string qkv, LayerWeights weights)
    {
        var name = $"layers.{layer}.attention";
        List<string> inputs =
        [
            qkv, "", "", GraphContract.KeyCache(layer), GraphContract.ValueCache(layer), GraphContract.CumulativeSequenceLength,
            GraphContract.PastSequenceLengths, GraphContract.BlockTable, "cos_cache", "sin_cache",
        ];
        List<GraphAttribute> attributes =
        [
            new("num_heads", _slice.Heads.Count), new("kv_num_heads", _slice.KvHeads.Count), new("scale", 0f), new("do_rotary", 1),
            new("rotary_interleaved", 0), new("local_window_size", _config.Windows[layer]), new("softcap", 0f),
        ];
        var normed = weights.QueryNorm is not null && weights.KeyNorm is not null;
        if (normed || _isCuda) inputs.AddRange([_isCuda ? GraphContract.SlotMapping : "", ""]);
        if (normed)
        {
            inputs.AddRange([Vector(name + ".q_norm.weight", weights.QueryNorm!), Vector(name + ".k_norm.weight", weights.KeyNorm!)]);
            attributes.Add(new GraphAttribute("qk_norm_epsilon", _config.NormEpsilon));
        }

        if (_isCuda) inputs.AddRange([.. normed ? (string[])[] : ["", ""], "", "", GraphContract.AttentionMetadata]);
        _graph.Node(
            _isCuda ? GraphBuilder.Microsoft : GraphContract.Domain, GraphContract.PagedAttention, name, [.. inputs],
            [name, GraphContract.KeyCacheOut(layer), GraphContract.ValueCacheOut(layer)], [.. attributes]);
        return name;
    }

    private string Mlp(string name, string input, LayerWeights weights)
    {
        var both = Biased(name + "gate_up", Product(name + "gate_up", input, weights.GateUp), weights.GateUpBias);
        _graph.Node(
            GraphBuilder.Standard, "Split", name + "split", [both], [name + "gate", name + "up"],
            new GraphAttribute("axis", -1), new GraphAttribute("num_outputs", 2));
        var gate = _graph.Node(GraphBuilder.Microsoft, "QuickGelu", name + "silu", [name + "gate"], new GraphAttribute("alpha", 1f));
        var gated = _graph.Node(GraphBuilder.Standard, "Mul", name + "gated", [gate, name + "up"]);
        return Product(name + "down", gated, weights.Down);
    }

    /// <summary>input + skip (+ bias), and its norm.</summary>
    private (string Normed, string Sum) AddAndNorm(string name, string input, string skip, TensorRange norm, TensorRange? bias)
    {
        List<string> inputs = [input, skip, Vector(name + ".weight", norm)];
        if (bias is not null) inputs.Add(Vector(name + ".input_bias", bias));
        _graph.Node(
            GraphBuilder.Microsoft, "SkipSimplifiedLayerNormalization", name, [.. inputs], [name, "", "", name + ".sum"],
            new GraphAttribute("epsilon", _config.NormEpsilon));
        return (name, name + ".sum");
    }

    private string Rows(string name, string all, string chosen) =>
        _graph.Node(GraphBuilder.Standard, "Gather", name, [all, chosen], new GraphAttribute("axis", 0));

    private string Product(string name, string input, MatrixSource matrix, string? output = null)
    {
        output ??= name;
        if (_format == WeightFormat.Float32)
        {
            _graph.Node(GraphBuilder.Standard, "MatMul", name, [input, _graph.Constant(name + ".weight", new TransposedContent(_type, matrix))], [output]);
            return output;
        }

        var bits = _format == WeightFormat.Int8 ? 8 : 4;
        var quantized = new QuantizedMatrix(matrix, bits);
        string[] inputs = [input, _graph.Constant(name + ".weight", quantized.Integers), _graph.Constant(name + ".scales", quantized.Scales)];
        _graph.Node(
            GraphBuilder.Microsoft, "MatMulNBits", name, inputs, [output],
            new GraphAttribute("K", matrix.Columns), new GraphAttribute("N", matrix.Rows), new GraphAttribute("bits", bits),
            new GraphAttribute("block_size", BlockQuantizer.BlockSize), new GraphAttribute("accuracy_level", 4));
        return output;
    }

    private string Biased(string name, string input, TensorRange[]? bias) =>
        bias is null ? input : _graph.Node(GraphBuilder.Standard, "Add", name + ".biased", [input, Vector(name + ".bias", bias)]);

    private string Vector(string name, params TensorRange[] parts) => _graph.Constant(name, new PlainContent(_type, [parts.Sum(part => part.Count)], parts));
}
