using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Client;
using Granary.GrainInterfaces.Sessions;
using Granary.Grains;
using Granary.Silo.Gateway.Sessions;
using Granary.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Turns a request of the Responses API into a plan, or refuses it by field, value and bound.</summary>
internal sealed class ResponseReader(
    ModelField models, ResponseStore store, IOptions<GranaryOptions> options, IOptions<StoredResponseOptions> bounds, TimeProvider time)
{
    private const int MaxPromptCacheKey = 256;
    private const int MaxUser = 512;
    private const int MaxSafetyIdentifier = 64;
    private readonly GatewayOptions _limits = options.Value.Gateway;
    private readonly int _maxConversation = bounds.Value.MaxConversationBytes;

    /// <exception cref="ApiException">The request is refused.</exception>
    public Task<ResponsePlan> ReadAsync(JsonElement body, long arrived, CancellationToken cancellationToken) => ReadAsync(models.Open(body), arrived, cancellationToken);

    internal async Task<ResponsePlan> ReadAsync(RequestFields fields, long arrived, CancellationToken cancellationToken)
    {
        var model = models.Find(fields);
        ResponseSettings.RefuseUnsupported(fields);
        if (model.Template is null) throw ApiException.Invalid("input", $"Model {model.Name} has no chat template; ask /v1/completions.");
        var instructions = fields.GetString("instructions", int.MaxValue);
        var tools = ResponseTools.Read(fields);
        var truncation = ResponseSettings.ReadTruncation(fields);
        var maxOutputTokens = fields.GetInteger("max_output_tokens", 1, int.MaxValue);
        var added = ResponseItems.Read(fields);
        var previous = fields.GetString("previous_response_id", 256);
        var before = previous is null ? null : await store.FindAsync(previous, cancellationToken) ?? throw ApiException.PreviousResponseNotFound(previous);
        var items = before is null ? added : [.. ItemsOf(before), .. added];
        GiveOwnIds(items);
        var input = JsonSerializer.SerializeToUtf8Bytes(items, ResponseStore.JsonOptions);
        if (input.Length > _maxConversation)
        {
            throw ApiException.Invalid(
                previous is null ? "input" : "previous_response_id", $"The conversation has {input.Length} bytes; at most {_maxConversation} are taken.");
        }

        var prompt = ResponsePrompt.Encode(model, instructions, items, tools.ForTemplate(), truncation == "auto", maxOutputTokens);
        var maxTokens = new LengthFields("max_output_tokens", "input", Fallback: null, AllowsNone: false).Read(fields, model, prompt.Length);
        var topLogprobs = fields.GetInteger("top_logprobs", 0, GenerationLimits.MaxTopLogprobs);
        var logprobs = ResponseSettings.ReadIncludesLogprobs(fields) ? topLogprobs ?? 0 : (int?)null;
        var now = time.GetUtcNow();
        var plan = new ResponsePlan
        {
            Generation = new GenerationPlan
            {
                Model = model,
                Id = ResponseIds.NewResponse(),
                Operation = "chat",
                Prompts = [prompt],
                ChoicesPerPrompt = 1,
                Sampling = [SamplingFields.Read(fields, model, maxTokens, logprobs, models.IsStrict)],
                Stops = StopFields.Read(fields),
                IncludeStop = fields.GetBoolean("include_stop_str_in_output", false),
                SkipSpecialTokens = fields.GetBoolean("skip_special_tokens", true),
                Stream = fields.GetBoolean("stream", false),
                CacheSalt = fields.GetString("cache_salt", 256),
                SessionId = SessionField.Read(fields),
                Created = now,
                Arrived = arrived,
                Deadline = now + TimeSpan.FromSeconds(_limits.RequestTimeoutSeconds),
            },
            Input = input,
            PreviousSession = before?.Session,
            Store = fields.GetBoolean("store", true),
            Instructions = instructions,
            PreviousResponseId = previous,
            MaxOutputTokens = maxOutputTokens,
            MaxToolCalls = fields.GetInteger("max_tool_calls", 1, int.MaxValue),
            TopLogprobs = topLogprobs,
            Metadata = ResponseSettings.ReadMetadata(fields),
            Tools = tools.Declared,
            ToolChoice = tools.Choice,
            ParallelToolCalls = fields.GetBoolean("parallel_tool_calls", true),
            Truncation = truncation,
            User = fields.GetString("user", MaxUser),
            SafetyIdentifier = fields.GetString("safety_identifier", MaxSafetyIdentifier),
            PromptCacheKey = fields.GetString("prompt_cache_key", MaxPromptCacheKey),
        };
        fields.RefuseUnknown();
        return plan;
    }

    /// <summary>What the previous response answered, and its answer.</summary>
    private static IEnumerable<JsonObject> ItemsOf(StoredResponse previous)
    {
        return Items(JsonNode.Parse(previous.Input)!).Concat(Items(JsonNode.Parse(previous.Body)!["output"]!));

        static IEnumerable<JsonObject> Items(JsonNode list) => list.AsArray().Select(item => item!.AsObject());
    }

    /// <summary>Pages are asked for by the last item's id: an id that comes twice, as when a caller repeats an item, is replaced.</summary>
    private static void GiveOwnIds(List<JsonObject> items)
    {
        var ids = new HashSet<string>(StringComparer.Ordinal);
        foreach (var item in items)
        {
            if (!ids.Add((string)item["id"]!)) item["id"] = ResponseIds.New(((string)item["id"]!).Split('_')[0]);
        }
    }
}
