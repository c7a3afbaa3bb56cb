using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;

namespace Granary.Tests.Support;

/// <summary>Architecture and sizes of a model with random weights.</summary>
public sealed record SyntheticShape
{
    /// <summary>As in config.json: <c>LlamaForCausalLM</c> …</summary>
    public string Architecture { get; init; } = "LlamaForCausalLM";

    public int Layers { get; init; } = 2;

    public int Hidden { get; init; } = 32;

    public int Intermediate { get; init; } = 48;

    public int Heads { get; init; } = 4;

    public int KvHeads { get; init; } = 2;

    public int HeadSize { get; init; } = 8;

    public int Vocabulary { get; init; } = 64;

    public int Context { get; init; } = 128;

    public bool Tied { get; init; }

    public bool AttentionBias { get; init; }

    public bool MlpBias { get; init; }

    /// <summary>F32, F16 or BF16.</summary>
    public string Type { get; init; } = "F32";

    /// <summary>Files that the tensors are spread over; more than one come with an index.</summary>
    public int Shards { get; init; } = 1;

    /// <summary>Further settings of config.json, or others in place of the usual ones.</summary>
    public JsonObject Settings { get; init; } = [];

    /// <summary>The 110M shape of the measurements in this project: 12 layers of 768, vocabulary 32000, tied.</summary>
    public static SyntheticShape Medium { get; } = new()
    {
        Layers = 12,
        Hidden = 768,
        Intermediate = 2048,
        Heads = 12,
        KvHeads = 12,
        HeadSize = 64,
        Vocabulary = 32_000,
        Context = 1024,
        Tied = true,
    };
}

/// <summary>Writes Hugging Face folders of models with seeded random weights: same shape and seed, same bytes.</summary>
public static class SyntheticModel
{
    private const int ChunkElements = 1 << 16;

    /// <summary>A tensor to write: values are drawn evenly from centre ± spread.</summary>
    private sealed record Tensor(string Name, long[] Shape, float Centre, float Spread)
    {
        public long Elements => Shape.Aggregate(1L, (product, dimension) => product * dimension);
    }

    public static void Write(string directory, SyntheticShape shape, int seed)
    {
        Directory.CreateDirectory(directory);
        File.WriteAllText(Path.Combine(directory, "config.json"), Config(shape).ToJsonString());
        File.WriteAllText(Path.Combine(directory, "generation_config.json"), """{"eos_token_id": 2}""");

        var tensors = Tensors(shape);
        var weightMap = new JsonObject();
        for (var shard = 0; shard < shape.Shards; shard++)
        {
            var file = shape.Shards == 1 ? "model.safetensors" : $"model-{shard + 1:D5}-of-{shape.Shards:D5}.safetensors";
            var part = tensors.Where((_, index) => index * shape.Shards / tensors.Count == shard).ToList();
            WriteFile(Path.Combine(directory, file), part, shape.Type, seed);
            foreach (var tensor in part) weightMap[tensor.Name] = file;
        }

        if (shape.Shards > 1) File.WriteAllText(Path.Combine(directory, "model.safetensors.index.json"), new JsonObject { ["weight_map"] = weightMap }.ToJsonString());
    }

    private static JsonObject Config(SyntheticShape shape)
    {
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray(shape.Architecture),
            ["hidden_size"] = shape.Hidden,
            ["intermediate_size"] = shape.Intermediate,
            ["num_hidden_layers"] = shape.Layers,
            ["num_attention_heads"] = shape.Heads,
            ["num_key_value_heads"] = shape.KvHeads,
            ["head_dim"] = shape.HeadSize,
            ["vocab_size"] = shape.Vocabulary,
            ["max_position_embeddings"] = shape.Context,
            ["rms_norm_eps"] = 1e-5,
            ["hidden_act"] = "silu",
            ["tie_word_embeddings"] = shape.Tied,
            ["attention_bias"] = shape.AttentionBias,
            ["mlp_bias"] = shape.MlpBias,
            ["eos_token_id"] = 2,
        };
        foreach (var (name, value) in shape.Settings) config[name] = value?.DeepClone();
        return config;
    }

    private static List<Tensor> Tensors(SyntheticShape s)
    {
        var (queries, keys) = (s.Heads * s.HeadSize, s.KvHeads * s.HeadSize);
        var (phi, qwen2, qwen3) = (s.Architecture == "Phi3ForCausalLM", s.Architecture == "Qwen2ForCausalLM", s.Architecture == "Qwen3ForCausalLM");
        List<Tensor> tensors = [new("model.embed_tokens.weight", [s.Vocabulary, s.Hidden], 0, 0.5f)];
        for (var layer = 0; layer < s.Layers; layer++)
        {
            var prefix = $"model.layers.{layer}.";
            Norm(prefix + "input_layernorm", s.Hidden);
            if (phi) Matrix(prefix + "self_attn.qkv_proj", queries + 2 * keys, s.Hidden, bias: false);
            else
            {
                Matrix(prefix + "self_attn.q_proj", queries, s.Hidden, s.AttentionBias || qwen2);
                Matrix(prefix + "self_attn.k_proj", keys, s.Hidden, s.AttentionBias || qwen2);
                Matrix(prefix + "self_attn.v_proj", keys, s.Hidden, s.AttentionBias || qwen2);
            }

            if (qwen3) Norm(prefix + "self_attn.q_norm", s.HeadSize);
            if (qwen3) Norm(prefix + "self_attn.k_norm", s.HeadSize);
            Matrix(prefix + "self_attn.o_proj", s.Hidden, queries, s.AttentionBias);
            Norm(prefix + "post_attention_layernorm", s.Hidden);
            if (phi) Matrix(prefix + "mlp.gate_up_proj", 2 * s.Intermediate, s.Hidden, bias: false);
            else
            {
                Matrix(prefix + "mlp.gate_proj", s.Intermediate, s.Hidden, s.MlpBias);
                Matrix(prefix + "mlp.up_proj", s.Intermediate, s.Hidden, s.MlpBias);
            }

            Matrix(prefix + "mlp.down_proj", s.Hidden, s.Intermediate, s.MlpBias);
        }

        Norm("model.norm", s.Hidden);
        if (!s.Tied) Matrix("lm_head", s.Vocabulary, s.Hidden, bias: false);
        return tensors;

        void Norm(string name, long size) => tensors.Add(new Tensor(name + ".weight", [size], 1, 0.3f));

        void Matrix(string name, long outputs, long inputs, bool bias)
        {
            tensors.Add(new Tensor(name + ".weight", [outputs, inputs], 0, MathF.Sqrt(3f / inputs)));
            if (bias) tensors.Add(new Tensor(name + ".bias", [outputs], 0, 0.5f));
        }
    }

    private static void WriteFile(string path, List<Tensor> tensors, string type, int seed)
    {
        var elementBytes = type == "F32" ? 4 : 2;
        var header = new JsonObject { ["__metadata__"] = new JsonObject { ["format"] = "pt" } };
        var offset = 0L;
        foreach (var tensor in tensors)
        {
            var end = offset + tensor.Elements * elementBytes;
            header[tensor.Name] = new JsonObject
            {
                ["dtype"] = type,
                ["shape"] = new JsonArray([.. tensor.Shape.Select(d => JsonValue.Create(d))]),
                ["data_offsets"] = new JsonArray(offset, end),
            };
            offset = end;
        }

        var text = Encoding.UTF8.GetBytes(header.ToJsonString());
        var padded = (text.Length + 7) / 8 * 8;
        using var stream = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        Span<byte> prefix = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(prefix, padded);
        stream.Write(prefix);
        stream.Write(text);
        stream.Write(Enumerable.Repeat((byte)' ', padded - text.Length).ToArray());
        foreach (var tensor in tensors) WriteValues(stream, tensor, type, seed);
    }

    private static void WriteValues(Stream stream, Tensor tensor, string type, int seed)
    {
        var state = Seed(tensor.Name, seed);
        var values = new float[ChunkElements];
        var halves = new ushort[ChunkElements];
        for (var done = 0L; done < tensor.Elements; done += ChunkElements)
        {
            var count = (int)Math.Min(ChunkElements, tensor.Elements - done);
            for (var i = 0; i < count; i++)
            {
                // xorshift: the top 24 bits make an even number in [-1, 1).
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                values[i] = tensor.Centre + tensor.Spread * ((state >> 40) * (1f / (1 << 23)) - 1f);
            }

            if (type == "F32")
            {
                stream.Write(MemoryMarshal.AsBytes(values.AsSpan(0, count)));
                continue;
            }

            for (var i = 0; i < count; i++) halves[i] = type == "F16" ? BitConverter.HalfToUInt16Bits((Half)values[i]) : (ushort)(BitConverter.SingleToUInt32Bits(values[i]) >> 16);
            stream.Write(MemoryMarshal.AsBytes(halves.AsSpan(0, count)));
        }
    }

    /// <summary>FNV-1a of the name, mixed with the seed; never zero, which xorshift cannot leave.</summary>
    private static ulong Seed(string name, int seed)
    {
        var hash = 14_695_981_039_346_656_037UL ^ (ulong)(uint)seed * 0x9E37_79B9_7F4A_7C15UL;
        foreach (var c in name) hash = (hash ^ c) * 1_099_511_628_211UL;
        return hash | 1;
    }
}
