using System.Text.Json;

namespace Granary.Tests.Support;

/// <summary>The plainest forward pass of the supported families, in float64, straight from a Hugging Face folder: the oracle of the tests.</summary>
/// <remarks>No cache, no batch, no speed; shares nothing with the importer or the engine. Follows the families' modeling files in transformers.</remarks>
public sealed class NaiveTransformer
{
    private readonly JsonElement _config;
    private readonly NaiveCheckpoint _weights;
    private readonly NaiveRotary _rotary;
    private readonly string _architecture;
    private readonly int _hidden;
    private readonly int _heads;
    private readonly int _kvHeads;
    private readonly int _headSize;
    private readonly double _epsilon;

    /// <param name="servedContext">See <see cref="NaiveRotary"/>; 0 = max_position_embeddings.</param>
    public NaiveTransformer(string directory, int servedContext = 0)
    {
        _config = JsonDocument.Parse(File.ReadAllText(Path.Combine(directory, "config.json"))).RootElement;
        _weights = new NaiveCheckpoint(directory);
        _architecture = _config.GetProperty("architectures")[0].GetString()!;
        _hidden = Integer("hidden_size")!.Value;
        _heads = Integer("num_attention_heads")!.Value;
        _kvHeads = Integer("num_key_value_heads") ?? _heads;
        _headSize = Integer("head_dim") ?? _hidden / _heads;
        _epsilon = _config.GetProperty("rms_norm_eps").GetDouble();
        _rotary = new NaiveRotary(_config, _headSize, servedContext > 0 ? servedContext : Integer("max_position_embeddings")!.Value);
    }

    public int VocabularySize => Integer("vocab_size")!.Value;

    /// <summary>Logits behind every token of a sequence.</summary>
    /// <returns>[tokens][vocabulary].</returns>
    public double[][] Logits(ReadOnlySpan<int> tokens)
    {
        var tied = _config.TryGetProperty("tie_word_embeddings", out var tie) && tie.ValueKind == JsonValueKind.True;
        var head = _weights[tied ? "model.embed_tokens.weight" : "lm_head.weight"];
        return [.. Hidden(tokens).Select(row => Product(head, row))];
    }

    /// <summary>States of every token of a sequence after the final norm.</summary>
    /// <returns>[tokens][hidden].</returns>
    public double[][] Hidden(ReadOnlySpan<int> tokens)
    {
        var table = _weights["model.embed_tokens.weight"];
        var rows = tokens.ToArray().Select(token => table.AsSpan(token * _hidden, _hidden).ToArray()).ToArray();
        for (var layer = 0; layer < Integer("num_hidden_layers")!.Value; layer++)
        {
            var prefix = $"model.layers.{layer}.";
            var attended = Attention(layer, rows.Select(row => Norm(row, prefix + "input_layernorm")).ToArray(), prefix + "self_attn.");
            rows = [.. rows.Zip(attended, Add)];
            rows = [.. rows.Select(row => Add(row, Mlp(Norm(row, prefix + "post_attention_layernorm"), prefix + "mlp.")))];
        }

        return [.. rows.Select(row => Norm(row, "model.norm"))];
    }

    private double[][] Attention(int layer, double[][] rows, string prefix)
    {
        var queries = new double[rows.Length][];
        var keys = new double[rows.Length][];
        var values = new double[rows.Length][];
        for (var t = 0; t < rows.Length; t++)
        {
            (queries[t], keys[t], values[t]) = Project(rows[t], prefix);
            for (var head = 0; head < _heads; head++) Prepare(queries[t].AsSpan(head * _headSize, _headSize), prefix + "q_norm", t);
            for (var head = 0; head < _kvHeads; head++) Prepare(keys[t].AsSpan(head * _headSize, _headSize), prefix + "k_norm", t);
        }

        var window = Window(layer);
        return [.. Enumerable.Range(0, rows.Length).Select(t => Linear(Attend(t, queries[t], keys, values, window), prefix + "o_proj"))];
    }

    private (double[] Query, double[] Key, double[] Value) Project(double[] row, string prefix)
    {
        if (_architecture != "Phi3ForCausalLM") return (Linear(row, prefix + "q_proj"), Linear(row, prefix + "k_proj"), Linear(row, prefix + "v_proj"));
        var packed = Linear(row, prefix + "qkv_proj");
        var (q, k) = (_heads * _headSize, _kvHeads * _headSize);
        return (packed[..q], packed[q..(q + k)], packed[(q + k)..]);
    }

    private void Prepare(Span<double> head, string norm, int position)
    {
        if (_architecture == "Qwen3ForCausalLM") Norm(head.ToArray(), norm).CopyTo(head);
        _rotary.Apply(head, position);
    }

    private double[] Attend(int t, double[] query, double[][] keys, double[][] values, int window)
    {
        var output = new double[_heads * _headSize];
        for (var head = 0; head < _heads; head++)
        {
            var kv = head / (_heads / _kvHeads) * _headSize;
            var first = Math.Max(0, t - window + 1);
            var scores = new double[t + 1 - first];
            for (var s = first; s <= t; s++)
            {
                for (var d = 0; d < _headSize; d++) scores[s - first] += query[head * _headSize + d] * keys[s][kv + d];
                scores[s - first] /= Math.Sqrt(_headSize);
            }

            var top = scores.Max();
            var sum = scores.Sum(score => Math.Exp(score - top));
            for (var s = first; s <= t; s++)
            {
                var weight = Math.Exp(scores[s - first] - top) / sum;
                for (var d = 0; d < _headSize; d++) output[head * _headSize + d] += weight * values[s][kv + d];
            }
        }

        return output;
    }

    /// <summary>Keys that a query of this layer sees, its own included.</summary>
    private int Window(int layer)
    {
        const int All = int.MaxValue / 2;
        if (Integer("sliding_window") is not { } window || _architecture == "LlamaForCausalLM") return All;
        if (_config.TryGetProperty("layer_types", out var types)) return types[layer].GetString() == "sliding_attention" ? window : All;
        if (_architecture is not ("Qwen2ForCausalLM" or "Qwen3ForCausalLM")) return window;
        var used = _config.TryGetProperty("use_sliding_window", out var use) && use.ValueKind == JsonValueKind.True;
        return used && layer >= (Integer("max_window_layers") ?? 28) ? window : All;
    }

    private double[] Mlp(double[] row, string prefix)
    {
        double[] gate, up;
        if (_architecture == "Phi3ForCausalLM")
        {
            var both = Linear(row, prefix + "gate_up_proj");
            (gate, up) = (both[..(both.Length / 2)], both[(both.Length / 2)..]);
        }
        else (gate, up) = (Linear(row, prefix + "gate_proj"), Linear(row, prefix + "up_proj"));

        return Linear([.. gate.Zip(up, (g, u) => g / (1 + Math.Exp(-g)) * u)], prefix + "down_proj");
    }

    private double[] Norm(double[] row, string name)
    {
        var weight = _weights[name + ".weight"];
        var scale = 1 / Math.Sqrt(row.Sum(x => x * x) / row.Length + _epsilon);
        return [.. row.Select((x, i) => x * scale * weight[i])];
    }

    private double[] Linear(double[] row, string name)
    {
        var product = Product(_weights[name + ".weight"], row);
        return _weights.Has(name + ".bias") ? Add(product, _weights[name + ".bias"]) : product;
    }

    private static double[] Product(double[] matrix, double[] row)
    {
        var result = new double[matrix.Length / row.Length];
        for (var i = 0; i < result.Length; i++)
        {
            var weights = matrix.AsSpan(i * row.Length, row.Length);
            for (var j = 0; j < row.Length; j++) result[i] += weights[j] * row[j];
        }

        return result;
    }

    private static double[] Add(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];

    private int? Integer(string name) => _config.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetInt32() : null;
}
