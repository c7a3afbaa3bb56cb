using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;
using Granary.Text.Templates;
using Granary.Text.Tokenization;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Turns a request's JSON into a plan, or refuses it by field, value and bound.</summary>
internal sealed class PlanReader(ModelCatalog catalog, IOptions<GranaryOptions> options, TimeProvider time)
{
    private const int DefaultCompletionTokens = 16; // OpenAI's.
    private const int MaxCompletionLogprobs = 5;
    private readonly GatewayOptions _limits = options.Value.Gateway;

    /// <exception cref="ApiException">The request is refused.</exception>
    public GenerationPlan ReadChat(JsonElement body, long arrived)
    {
        var fields = new RequestFields(body);
        var model = FindModel(fields);
        RefuseUnsupported(fields);
        var messages = ChatMessages.Read(fields);
        if (model.Template is null) throw ApiException.Invalid("messages", $"Model {model.Name} has no chat template; ask /v1/completions.");
        var prompt = EncodeChat(model, messages, "messages");

        var parameter = fields.Has("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
        return Create(fields, model, "chat", "chatcmpl-", [prompt], parameter, ReadChatLogprobs(fields), defaultMaxTokens: null, arrived);
    }

    /// <exception cref="ApiException">The request is refused.</exception>
    public GenerationPlan ReadCompletion(JsonElement body, long arrived)
    {
        var fields = new RequestFields(body);
        var model = FindModel(fields);
        foreach (var name in (ReadOnlySpan<string>)["suffix", "echo"])
        {
            if (fields.TryGet(name, out var value) && value.ValueKind is not JsonValueKind.False)
                throw ApiException.Invalid(name, $"{name} is not supported.");
        }

        if (fields.GetInteger("best_of", 1, int.MaxValue) is { } best && best != (fields.GetInteger("n", 1, int.MaxValue) ?? 1))
            throw ApiException.Invalid("best_of", $"best_of is {best}; it must equal n.");
        var prompts = CompletionPrompts.Read(fields, model, _limits.MaxChoices);
        var logprobs = fields.GetInteger("logprobs", 0, MaxCompletionLogprobs);
        return Create(fields, model, "text_completion", "cmpl-", prompts, "max_tokens", logprobs, DefaultCompletionTokens, arrived);
    }

    private GenerationPlan Create(
        RequestFields fields, TextModel model, string operation, string idPrefix, int[][] prompts, string maxTokensField, int? logprobs, int? defaultMaxTokens, long arrived)
    {
        var perPrompt = fields.GetInteger("n", 1, Math.Max(1, _limits.MaxChoices / prompts.Length)) ?? 1;
        var stream = fields.GetBoolean("stream", false);
        var now = time.GetUtcNow();
        var sampling = new SamplingOptions[prompts.Length];
        for (var i = 0; i < prompts.Length; i++)
        {
            var maxTokens = ReadMaxTokens(fields, maxTokensField, model, prompts[i], operation == "chat" ? "messages" : "prompt", defaultMaxTokens);
            // One seed for all prompts of the request, also where it is drawn.
            sampling[i] = i == 0
                ? SamplingFields.Read(fields, model, maxTokens, logprobs)
                : sampling[0] with { MaxTokens = maxTokens, MinTokens = Math.Min(sampling[0].MinTokens, maxTokens) };
        }

        return new GenerationPlan
        {
            Model = model,
            Id = idPrefix + Guid.NewGuid().ToString("N"),
            Operation = operation,
            Prompts = prompts,
            ChoicesPerPrompt = perPrompt,
            Sampling = sampling,
            Stops = StopFields.Read(fields),
            Stream = stream,
            IncludeUsage = ReadIncludeUsage(fields, stream),
            CacheSalt = fields.GetString("cache_salt", 256),
            Created = now,
            Arrived = arrived,
            Deadline = now + TimeSpan.FromSeconds(_limits.RequestTimeoutSeconds),
        };
    }

    /// <param name="parameter">The field that the messages came in.</param>
    /// <exception cref="ApiException">The template or the tokenizer refuses them.</exception>
    public static int[] EncodeChat(TextModel model, JsonArray messages, string parameter, ChatTemplateOptions? options = null)
    {
        try
        {
            return model.EncodeChat(messages, options);
        }
        catch (ChatTemplateException exception)
        {
            throw ApiException.Invalid(parameter, $"The model's chat template refuses the messages: {exception.Message}");
        }
        catch (TokenizerException exception)
        {
            throw ApiException.Invalid(parameter, exception.Message);
        }
    }

    /// <summary>The model that the request names, or the only one.</summary>
    /// <exception cref="ApiException">It is unknown, or loading.</exception>
    public TextModel FindModel(RequestFields fields)
    {
        var name = fields.GetString("model", 256)
            ?? (catalog.Names.Count == 1 ? catalog.Names[0] : throw ApiException.Invalid("model", "model is missing; several are served."));
        if (!catalog.Contains(name)) throw ApiException.ModelNotFound(name);
        return catalog.FindOpen(name) ?? throw ApiException.NotReady($"Model {name} is loading.", TimeSpan.FromSeconds(1));
    }

    /// <summary>How many tokens may be generated: what field <paramref name="name"/> says, else the fallback, within the room that the prompt leaves.</summary>
    /// <exception cref="ApiException">There is no such room.</exception>
    public static int ReadMaxTokens(RequestFields fields, string name, TextModel model, int[] prompt, string promptField, int? fallback)
    {
        var context = model.ContextLength;
        var room = context - prompt.Length;
        if (room < 1)
        {
            throw ApiException.ContextLengthExceeded(
                promptField, $"{promptField} has {prompt.Length} tokens; with at least one to generate, the context of {context} tokens is exceeded.");
        }

        if (fields.GetInteger(name, 1, int.MaxValue) is not { } asked) return Math.Min(fallback ?? room, room);
        return asked <= room
            ? asked
            : throw ApiException.ContextLengthExceeded(
                name, $"{name} is {asked}; with {prompt.Length} prompt tokens at most {room} fit into the context of {context} tokens.");
    }

    private static bool ReadIncludeUsage(RequestFields fields, bool stream)
    {
        if (!fields.TryGet("stream_options", out var value)) return false;
        if (value.ValueKind != JsonValueKind.Object) throw fields.Wrong("stream_options", value, "an object");
        // Without stream it has no effect: OpenAI's own client sends it so.
        return new RequestFields(value, "stream_options.").GetBoolean("include_usage", false) && stream;
    }

    private static int? ReadChatLogprobs(RequestFields fields)
    {
        var wanted = fields.GetBoolean("logprobs", false);
        var top = fields.GetInteger("top_logprobs", 0, SamplingFields.MaxTopLogprobs);
        if (top > 0 && !wanted) throw ApiException.Invalid("top_logprobs", $"top_logprobs is {top}; it needs logprobs to be true.");
        return wanted ? top ?? 0 : null;
    }

    /// <summary>Fields whose meaning would be lost if they were ignored.</summary>
    private static void RefuseUnsupported(RequestFields fields)
    {
        foreach (var name in (ReadOnlySpan<string>)["tools", "functions"])
        {
            if (fields.TryGet(name, out var list) && !(list.ValueKind == JsonValueKind.Array && list.GetArrayLength() == 0)
                && !(fields.TryGet("tool_choice", out var choice) && choice.ValueKind == JsonValueKind.String && choice.ValueEquals("none")))
                throw ApiException.Invalid(name, $"{name} is not supported.");
        }

        if (fields.TryGet("response_format", out var format))
        {
            var type = format.ValueKind == JsonValueKind.Object ? new RequestFields(format, "response_format.").GetString("type", 64) : null;
            if (type != "text") throw ApiException.Invalid("response_format", $"response_format.type is '{type}'; only 'text' is supported.");
        }
    }
}
