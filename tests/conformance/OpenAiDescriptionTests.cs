using System.Text.Json.Nodes;
using Granary.GrainInterfaces;
using Granary.Tests.Conformance.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Conformance;

/// <summary>Every answer is what OpenAI's own description says.</summary>
[Collection(ScriptedTests.Name)]
public sealed class OpenAiDescriptionTests(ScriptedSilo scripted)
{
    [SharedDataFact]
    public async Task EveryAnswer_IsAsOpenAiDescribesIt()
    {
        var schemas = new SchemaValidator(YamlDescription.Load(SharedData.Path("openai", "openapi.yaml")));
        scripted.Client.Script = (request, _) => ScriptedClient.TokensAsync(request, FinishReason.Stop, (100, -1), (101, -2), (102, -3));
        scripted.Client.EmbedScript = (_, _) => Task.FromResult(new EmbedResult([1, 2, 3], 0));
        var (failures, checkedAnswers) = (new List<string>(), 0);

        foreach (var exchange in Exchanges.All.Where(exchange => exchange.OpenAi is not null))
        {
            foreach (var answer in await Exchanges.AnswersAsync(scripted.Http, exchange))
            {
                checkedAnswers++;
                failures.AddRange(schemas.Validate(AsDescribed(exchange, answer), exchange.OpenAi!).Select(failure => $"{exchange}: {failure}"));
            }
        }

        Assert.Empty(failures);
        Assert.True(checkedAnswers > 100, $"{checkedAnswers} answers");
    }

    /// <summary>Takes away where OpenAI itself answers otherwise than its description says, as its clients expect.</summary>
    private static JsonNode AsDescribed(Exchange exchange, JsonNode answer)
    {
        var copy = answer.DeepClone();
        if (exchange.Path == Api.Completions && exchange.Stream)
        {
            // A stream's frames are described as whole answers; until the end they have no reason, and no usage until the last.
            foreach (var choice in copy["choices"]!.AsArray()) choice!["finish_reason"] ??= "stop";
            if (copy["usage"] is null) copy.AsObject().Remove("usage");
        }

        foreach (var logprobs in copy["choices"]?.AsArray().Select(choice => choice!["logprobs"]).OfType<JsonObject>() ?? [])
        {
            // With echo nothing precedes the first token.
            if (logprobs["token_logprobs"] is not JsonArray { Count: > 0 } numbers || numbers[0] is not null) continue;
            numbers[0] = 0;
            logprobs["top_logprobs"]![0] = new JsonObject();
        }

        foreach (var item in exchange.Path == Api.Embeddings ? copy["data"]?.AsArray() ?? [] : [])
        {
            // Only numbers are described; base64 is what its clients ask for.
            if (item!["embedding"]!.GetValueKind() == System.Text.Json.JsonValueKind.String) item["embedding"] = new JsonArray();
        }

        return copy;
    }
}
