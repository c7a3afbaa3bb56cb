using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Text.Templates;

/// <summary>What a rendering takes besides the messages.</summary>
public sealed record ChatTemplateOptions
{
    /// <summary>Whether to end with what makes the model answer.</summary>
    public bool AddGenerationPrompt { get; init; }

    /// <summary>Tool definitions, as the template expects them; their presence chooses the template named <c>tool_use</c>, where there is one.</summary>
    public JsonArray? Tools { get; init; }

    public JsonArray? Documents { get; init; }

    /// <summary>Further variables, by name; they come before all others.</summary>
    public JsonObject? ExtraContext { get; init; }

    /// <summary>Overrides the token's text from the model's files.</summary>
    public string? BosToken { get; init; }

    /// <summary>Overrides the token's text from the model's files.</summary>
    public string? EosToken { get; init; }
}

/// <summary>A model's chat template: turns a conversation into the text that the model continues.</summary>
/// <remarks>
/// Jinja as Transformers runs it (trim_blocks, lstrip_blocks, loop controls, an immutable sandbox), parsed once and
/// rendered by any number of threads. A template has no access to anything but its variables, and its work, output
/// and nesting are bounded (<see cref="TemplateLimits"/>).
/// </remarks>
public sealed class ChatTemplate
{
    private readonly Statement[] _default;
    private readonly Statement[]? _toolUse;
    private readonly Dictionary<string, string> _specialTokens;
    private readonly TimeProvider _time;

    private ChatTemplate(Statement[] main, Statement[]? toolUse, Dictionary<string, string> specialTokens, TimeProvider time)
    {
        _default = main;
        _toolUse = toolUse;
        _specialTokens = specialTokens;
        _time = time;
    }

    /// <summary>The template of a model's folder: <c>chat_template.jinja</c>, else that of <c>tokenizer_config.json</c>; null where neither has one.</summary>
    /// <exception cref="ChatTemplateException">A file is malformed or too large.</exception>
    public static ChatTemplate? Load(string directory, TimeProvider? time = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        var config = Path.Combine(directory, "tokenizer_config.json");
        var file = Path.Combine(directory, "chat_template.jinja");
        if (!File.Exists(file)) return Create(File.Exists(config) ? File.ReadAllText(config) : null, null, time);
        RequireBounded(new FileInfo(file).Length);
        return Create(File.Exists(config) ? File.ReadAllText(config) : null, File.ReadAllText(file), time);
    }

    /// <summary>The same from files that are in memory, by name.</summary>
    /// <exception cref="ChatTemplateException">A file is malformed or too large.</exception>
    public static ChatTemplate? Load(IReadOnlyDictionary<string, byte[]> files, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(files);
        RequireBounded(files.GetValueOrDefault("chat_template.jinja")?.Length ?? 0);
        return Create(Text("tokenizer_config.json"), Text("chat_template.jinja"), time);

        // A reader, because it knows the byte order mark as reading a file does.
        string? Text(string name) => files.TryGetValue(name, out var content) ? new StreamReader(new MemoryStream(content)).ReadToEnd() : null;
    }

    private static void RequireBounded(long bytes)
    {
        if (bytes > TemplateLimits.MaxSourceLength * 4L) throw new ChatTemplateException($"chat_template.jinja has more than {TemplateLimits.MaxSourceLength * 4L} bytes.");
    }

    /// <param name="file">Content of chat_template.jinja, which wins over the configuration's.</param>
    private static ChatTemplate? Create(string? configuration, string? file, TimeProvider? time)
    {
        var config = ReadConfig(configuration);
        var (main, toolUse) = Sources(config?["chat_template"]);
        main = file ?? main;
        return main is null ? null : new ChatTemplate(
            TemplateParser.Parse(main), toolUse is null ? null : TemplateParser.Parse(toolUse), SpecialTokens(config), time ?? TimeProvider.System);
    }

    /// <exception cref="ChatTemplateException">The template is malformed; the message names the line.</exception>
    public static ChatTemplate Parse(string source, string? bosToken = null, string? eosToken = null, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        var tokens = new Dictionary<string, string>(StringComparer.Ordinal);
        if (bosToken is not null) tokens["bos_token"] = bosToken;
        if (eosToken is not null) tokens["eos_token"] = eosToken;
        return new ChatTemplate(TemplateParser.Parse(source), null, tokens, time ?? TimeProvider.System);
    }

    /// <param name="messages">Objects with <c>role</c> and <c>content</c>, and whatever else the template reads.</param>
    /// <exception cref="ChatTemplateException">The template failed, refused the conversation, or went beyond a bound, which the message names.</exception>
    public string Render(JsonArray messages, ChatTemplateOptions options)
    {
        ArgumentNullException.ThrowIfNull(messages);
        ArgumentNullException.ThrowIfNull(options);
        var variables = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach (var (name, text) in _specialTokens) variables[name] = text;
        if (options.BosToken is not null) variables["bos_token"] = options.BosToken;
        if (options.EosToken is not null) variables["eos_token"] = options.EosToken;
        variables["messages"] = ValueOperations.FromJson(messages);
        variables["add_generation_prompt"] = options.AddGenerationPrompt;
        variables["tools"] = ValueOperations.FromJson(options.Tools);
        variables["documents"] = ValueOperations.FromJson(options.Documents);
        foreach (var (name, value) in options.ExtraContext ?? []) variables[name] = ValueOperations.FromJson(value);
        return Interpreter.Render(options.Tools is not null && _toolUse is not null ? _toolUse : _default, variables, _time);
    }

    /// <summary>Renders the main template with exactly the given variables, as a plain Jinja template.</summary>
    /// <param name="variables">
    /// Every variable the template sees, by name: nothing is added, neither special tokens nor <c>add_generation_prompt</c>,
    /// and what is not here is undefined. JSON's null is Jinja's none; whole numbers beyond 64 bits become floats.
    /// </param>
    /// <returns>The rendered text, at most <see cref="TemplateLimits.MaxOutputLength"/> chars.</returns>
    /// <exception cref="ChatTemplateException">The template failed, raised an error of its own, or went beyond a bound, which the message names.</exception>
    public string Render(JsonObject variables) => Render(variables, TemplateLimits.MaxSteps);

    internal string Render(JsonObject variables, long maxSteps)
    {
        ArgumentNullException.ThrowIfNull(variables);
        var values = variables.ToDictionary(entry => entry.Key, entry => ValueOperations.FromJson(entry.Value), StringComparer.Ordinal);
        return Interpreter.Render(_default, values, _time, maxSteps);
    }

    private static JsonObject? ReadConfig(string? content)
    {
        if (content is null) return null;
        try
        {
            return JsonNode.Parse(content) as JsonObject ?? throw new ChatTemplateException("tokenizer_config.json is not a JSON object.");
        }
        catch (JsonException exception)
        {
            throw new ChatTemplateException($"tokenizer_config.json is not valid JSON: {exception.Message}", exception);
        }
    }

    private static (string? Main, string? ToolUse) Sources(JsonNode? template)
    {
        if (template is null) return (null, null);
        if (template.GetValueKind() == JsonValueKind.String) return (template.GetValue<string>(), null);
        if (template is not JsonArray list) throw new ChatTemplateException("tokenizer_config.json: field 'chat_template' is neither a string nor a list.");

        var named = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var item in list)
        {
            if (item is not JsonObject entry || !IsString(entry["name"]) || !IsString(entry["template"]))
            {
                throw new ChatTemplateException("tokenizer_config.json: field 'chat_template' has an entry without name and template.");
            }

            named[entry["name"]!.GetValue<string>()] = entry["template"]!.GetValue<string>();
        }

        return (named.GetValueOrDefault("default") ?? throw new ChatTemplateException("tokenizer_config.json: field 'chat_template' lacks the template named 'default'."),
            named.GetValueOrDefault("tool_use"));
    }

    private static Dictionary<string, string> SpecialTokens(JsonObject? config)
    {
        var tokens = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in (string[])["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"])
        {
            var token = config?[name] is JsonObject described ? described["content"] : config?[name];
            if (IsString(token)) tokens[name] = token!.GetValue<string>();
        }

        return tokens;
    }

    private static bool IsString(JsonNode? node) => node is not null && node.GetValueKind() == JsonValueKind.String;
}
