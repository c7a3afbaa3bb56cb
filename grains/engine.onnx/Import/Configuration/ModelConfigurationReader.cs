namespace Granary.Engine.Onnx.Import.Configuration;

/// <summary>Reads <c>config.json</c> for the families we can run and refuses what we cannot, by name.</summary>
/// <remarks>Defaults are those of the families' configuration classes in huggingface/transformers.</remarks>
internal static class ModelConfigurationReader
{
    public const string FileName = "config.json";
    public const int MaxContext = 1 << 22;
    public const int MaxVocabulary = 1 << 22;
    public const int MaxLayers = 1024;
    public const int MaxWidth = 1 << 20;
    public const int MaxHeads = 4096;
    public const int MaxHeadSize = 1024;

    /// <summary>What tells the families apart.</summary>
    /// <param name="KvHeads">Default of num_key_value_heads; null = num_attention_heads.</param>
    /// <param name="HeadSize">Default of head_dim; null = hidden_size / num_attention_heads.</param>
    /// <param name="Window">Default of sliding_window; null = none.</param>
    private sealed record Family(string ModelType, int Positions, double Epsilon, int? KvHeads = null, int? HeadSize = null, int? Window = null);

    private static readonly Dictionary<string, Family> Families = new(StringComparer.Ordinal)
    {
        ["LlamaForCausalLM"] = new("llama", 2048, 1e-6),
        ["MistralForCausalLM"] = new("mistral", 131_072, 1e-6, KvHeads: 8, Window: 4096),
        ["Qwen2ForCausalLM"] = new("qwen2", 32_768, 1e-6, Window: 4096),
        ["Qwen3ForCausalLM"] = new("qwen3", 32_768, 1e-6, HeadSize: 128, Window: 4096),
        ["Phi3ForCausalLM"] = new("phi3", 4096, 1e-5),
    };

    /// <exception cref="ModelImportException">The architecture or a value is refused.</exception>
    public static ModelConfiguration Read(SourceFolder folder, ImportOptions options)
    {
        using var document = folder.ReadJson(FileName);
        if (document.RootElement.ValueKind != System.Text.Json.JsonValueKind.Object) throw new ModelImportException($"{FileName}: is not an object.");
        var config = new SettingsReader(document.RootElement, FileName);
        var architecture = Architecture(config);
        var family = Families[architecture];
        if (config.Has("quantization_config")) throw config.Refuse("quantization_config", "is set: import the unquantised model and quantise on import");
        if (config.Text("hidden_act") is { } activation and not ("silu" or "swish")) throw config.Refuse("hidden_act", $"is '{activation}', supported: silu");

        var hidden = config.Integer("hidden_size", 1, MaxWidth);
        var layers = config.Integer("num_hidden_layers", 1, MaxLayers);
        var heads = config.Integer("num_attention_heads", 1, MaxHeads);
        var kvHeads = config.Integer("num_key_value_heads", 1, MaxHeads, family.KvHeads ?? heads);
        if (heads % kvHeads != 0) throw config.Refuse("num_key_value_heads", $"is {kvHeads}, which does not divide num_attention_heads {heads}");
        var headSize = HeadSize(config, family, hidden, heads);
        var positions = config.Integer("max_position_embeddings", 1, MaxContext, family.Positions);
        var requested = options.ContextLength;
        var (rotary, context) = RotaryScaling.Read(config, headSize, positions, requested);
        if (requested < 0 || requested > context)
            throw new ModelImportException($"{FileName}: context length {requested} is asked for, bounds 1 … {context} (max_position_embeddings with its scaling).");

        var bias = family.ModelType is "llama" or "qwen3" && config.Flag("attention_bias", false);
        return new ModelConfiguration
        {
            Architecture = architecture,
            LayerCount = layers,
            HiddenSize = hidden,
            IntermediateSize = config.Integer("intermediate_size", 1, MaxWidth),
            HeadCount = heads,
            KvHeadCount = kvHeads,
            HeadSize = headSize,
            VocabularySize = config.Integer("vocab_size", 1, MaxVocabulary),
            ContextLength = requested == 0 ? context : requested,
            NormEpsilon = (float)config.Number("rms_norm_eps", 1e-12, 1, family.Epsilon),
            TiedEmbeddings = config.Flag("tie_word_embeddings", false),
            QkvBias = bias || architecture == "Qwen2ForCausalLM",
            OutputBias = bias,
            MlpBias = architecture == "LlamaForCausalLM" && config.Flag("mlp_bias", false),
            QkNorm = architecture == "Qwen3ForCausalLM",
            FusedProjections = architecture == "Phi3ForCausalLM",
            Windows = Windows(config, family, document.RootElement, layers),
            Rotary = rotary,
        };
    }

    private static string Architecture(SettingsReader config)
    {
        var names = config.Texts("architectures");
        var modelType = config.Text("model_type");
        var name = names is null ? Families.FirstOrDefault(f => f.Value.ModelType == modelType).Key : names.Length == 1 ? names[0] : null;
        if (name is not null && Families.ContainsKey(name)) return name;
        var said = names is null ? $"model_type '{modelType}'" : $"architectures [{string.Join(", ", names.Take(8))}]";
        throw new ModelImportException($"{FileName}: {said} is not supported; supported: {string.Join(", ", Families.Keys)}.");
    }

    private static int HeadSize(SettingsReader config, Family family, int hidden, int heads)
    {
        if (!config.Has("head_dim") && family.HeadSize is null && hidden % heads != 0)
            throw config.Refuse("hidden_size", $"is {hidden}, which num_attention_heads {heads} does not divide");
        var size = config.Integer("head_dim", 2, MaxHeadSize, family.HeadSize ?? hidden / heads);
        if (size < 2 || size % 2 != 0 || size > MaxHeadSize) throw config.Refuse("head_dim", $"is {size}, expected an even number from 2 to {MaxHeadSize}");
        return size;
    }

    /// <summary>Window of each layer. Mistral and Phi-3: all layers; Qwen: layers from max_window_layers on, if use_sliding_window; layer_types overrules.</summary>
    private static int[] Windows(SettingsReader config, Family family, System.Text.Json.JsonElement root, int layers)
    {
        var qwen = family.ModelType is "qwen2" or "qwen3";
        if (family.ModelType == "llama" || (qwen && !config.Flag("use_sliding_window", false))) return [.. Enumerable.Repeat(-1, layers)];

        // An explicit null switches the window off; only an absent setting means the family's default.
        var present = root.TryGetProperty("sliding_window", out _);
        var window = config.Integer("sliding_window", 1, MaxContext, present ? -1 : family.Window ?? -1);
        if (config.Texts("layer_types") is { } types && window > 0)
        {
            if (types.Length != layers) throw config.Refuse("layer_types", $"has {types.Length} entries, expected num_hidden_layers {layers}");
            return [.. types.Select(type => type switch
            {
                "sliding_attention" => window,
                "full_attention" => -1,
                _ => throw config.Refuse("layer_types", $"holds '{type}', supported: full_attention, sliding_attention"),
            })];
        }

        var first = qwen ? config.Integer("max_window_layers", 0, MaxLayers, 28) : 0;
        return [.. Enumerable.Range(0, layers).Select(layer => layer >= first ? window : -1)];
    }
}
