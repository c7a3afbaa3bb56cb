using System.Text.Json;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Silo.Gateway.Sessions;
using Granary.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Turns a request's JSON into a plan, or refuses it by field, value and bound.</summary>
internal sealed class PlanReader(ModelField models, IOptions<GranaryOptions> options, TimeProvider time)
{
    private readonly GatewayOptions _limits = options.Value.Gateway;

    /// <exception cref="ApiException">The request is refused.</exception>
    public GenerationPlan ReadChat(JsonElement body, long arrived) => ReadChat(models.Open(body), arrived);

    /// <exception cref="ApiException">The request is refused.</exception>
    public GenerationPlan ReadCompletion(JsonElement body, long arrived) => ReadCompletion(models.Open(body), arrived);

    internal GenerationPlan ReadChat(RequestFields fields, long arrived)
    {
        var model = models.Find(fields);
        KnownFields.Chat(fields);
        fields.Refuse("echo", "it is taken by /v1/completions");
        fields.Refuse("best_of", "it is taken by /v1/completions");
        var prompt = new TextInput(ChatPrompt.Read(fields, model), null);
        // The older name is known even where the newer one says how many.
        var name = fields.Has("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
        fields.Ignore("max_tokens");
        var length = new LengthFields(name, "messages", Fallback: null, AllowsNone: !models.IsStrict);
        var plan = Create(fields, model, [prompt], length, ReadChatLogprobs(fields), arrived) with { Operation = "chat", Id = NewId("chatcmpl-") };
        fields.RefuseUnknown();
        return plan;
    }

    internal GenerationPlan ReadCompletion(RequestFields fields, long arrived)
    {
        var model = models.Find(fields);
        KnownFields.Completion(fields);
        var prompts = TextInputs.Read(fields, "prompt", model, _limits.MaxChoices, fields.GetBoolean("add_special_tokens", true));
        var echo = fields.GetBoolean("echo", false);
        var length = new LengthFields("max_tokens", "prompt", GenerationLimits.DefaultCompletionTokens, AllowsNone: echo || !models.IsStrict);
        var logprobs = fields.GetInteger("logprobs", 0, GenerationLimits.MaxCompletionLogprobs);
        var plan = WithBestOf(fields, Create(fields, model, prompts, length, logprobs, arrived)) with
        {
            Echo = echo ? [.. prompts.Select(prompt => prompt.TextOf(model))] : null,
        };
        fields.RefuseUnknown();
        return plan;
    }

    private GenerationPlan Create(RequestFields fields, TextModel model, TextInput[] prompts, LengthFields length, int? logprobs, long arrived)
    {
        var perPrompt = fields.GetInteger("n", 1, MaxPerPrompt(prompts.Length)) ?? 1;
        var stream = StreamFields.Read(fields, models.IsStrict);
        var now = time.GetUtcNow();
        var sampling = new SamplingOptions[prompts.Length];
        for (var i = 0; i < prompts.Length; i++)
        {
            var maxTokens = length.Read(fields, model, prompts[i].Ids.Length);
            // One seed for all prompts of the request, also where it is drawn.
            sampling[i] = i == 0
                ? SamplingFields.Read(fields, model, maxTokens, logprobs, models.IsStrict)
                : sampling[0] with { MaxTokens = maxTokens, MinTokens = Math.Min(sampling[0].MinTokens, maxTokens) };
        }

        return new GenerationPlan
        {
            Model = model,
            Id = NewId("cmpl-"),
            Operation = "text_completion",
            Prompts = [.. prompts.Select(prompt => prompt.Ids)],
            ChoicesPerPrompt = perPrompt,
            Sampling = sampling,
            Stops = StopFields.Read(fields),
            IncludeStop = fields.GetBoolean("include_stop_str_in_output", false),
            SkipSpecialTokens = fields.GetBoolean("skip_special_tokens", true),
            ReturnsTokenIds = fields.GetBoolean("return_token_ids", false),
            Stream = stream.Stream,
            IncludeUsage = stream.IncludeUsage,
            ContinuousUsage = stream.ContinuousUsage,
            CacheSalt = fields.GetString("cache_salt", 256),
            SessionId = SessionField.Read(fields),
            Created = now,
            Arrived = arrived,
            Deadline = now + TimeSpan.FromSeconds(_limits.RequestTimeoutSeconds),
        };
    }

    /// <summary>More choices may be generated than are sent.</summary>
    private GenerationPlan WithBestOf(RequestFields fields, GenerationPlan plan)
    {
        const string Name = "best_of";
        // OpenAI's own client sends 0 for what is not asked for.
        var max = MaxPerPrompt(plan.Prompts.Length);
        if (fields.GetInteger(Name, models.IsStrict ? 1 : 0, max) is not { } best || best == 0) return plan;
        if (best < plan.ChoicesPerPrompt) throw ApiException.Invalid(Name, $"{Name} is {best}; it must be from n, which is {plan.ChoicesPerPrompt}, to {max}.");
        if (best == plan.ChoicesPerPrompt) return plan;
        if (plan.Stream) throw ApiException.Invalid(Name, $"{Name} is {best}; with stream it must equal n, which is {plan.ChoicesPerPrompt}: the best are known at the end.");
        return plan with
        {
            ChoicesPerPrompt = best,
            BestOfPrompt = plan.ChoicesPerPrompt,
            HidesLogprobs = plan.Logprobs is null,
            Sampling = [.. plan.Sampling.Select(sampling => sampling with { TopLogprobs = sampling.TopLogprobs ?? 0 })],
        };
    }

    private int MaxPerPrompt(int prompts) => Math.Max(1, _limits.MaxChoices / prompts);

    private static string NewId(string prefix) => prefix + Guid.NewGuid().ToString("N");

    private static int? ReadChatLogprobs(RequestFields fields)
    {
        var wanted = fields.GetBoolean("logprobs", false);
        var top = fields.GetInteger("top_logprobs", 0, GenerationLimits.MaxTopLogprobs);
        if (top > 0 && !wanted) throw ApiException.Invalid("top_logprobs", $"top_logprobs is {top}; it needs logprobs to be true.");
        return wanted ? top ?? 0 : null;
    }
}
