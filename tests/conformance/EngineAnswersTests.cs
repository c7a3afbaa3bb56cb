using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>What the model itself answers where the gateway asks for more than text: vectors, the prompt's log-probabilities, the best of several.</summary>
[Collection(SiloTests.Name)]
public sealed class EngineAnswersTests(SiloFixture fixture)
{
    private const string Prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
    private readonly HttpClient _http = fixture.Http;

    [Theory]
    [InlineData("mean")]
    [InlineData("last")]
    public async Task Embeddings_AreTheSameAloneAndTogether(string pooling)
    {
        string[] texts = ["What is the capital of France?", "Tell me something.", "a"];
        var together = await EmbedAsync(new JsonArray([.. texts.Select(text => (JsonNode)text)]), ("pooling", pooling));

        for (var i = 0; i < texts.Length; i++)
        {
            var alone = Assert.Single(await EmbedAsync(texts[i], ("pooling", pooling)));
            Assert.Equal(together[i], alone);
            Assert.Equal(1, Math.Sqrt(alone.Sum(component => (double)component * component)), 5);
            var cut = Assert.Single(await EmbedAsync(texts[i], ("pooling", pooling), ("dimensions", 8)));
            Assert.Equal(8, cut.Length);
            Assert.Equal(alone[0] / alone[7], cut[0] / cut[7], 3);
        }

        Assert.NotEqual(together[0], together[1]);
        await fixture.Silo.WaitUntilIdleAsync();
    }

    /// <summary>Tokens that were generated, read again as a prompt, are as likely as they were.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Echo_TellsWhatGenerationTold(bool stream)
    {
        var generated = (await _http.AskAsync(Api.Completions, Api.CompletionBody(
            Prompt, ("max_tokens", 5), ("logprobs", 2), ("temperature", 0), ("return_token_ids", true))))["choices"]![0]!;
        int[] ids = [.. Ids(generated["prompt_token_ids"]!), .. Ids(generated["token_ids"]!)];
        var body = Api.CompletionBody(
            new JsonArray([.. ids.Select(id => (JsonNode)id)]), ("max_tokens", 0), ("logprobs", 2), ("temperature", 0), ("echo", true));

        var echoed = stream
            ? (await _http.StreamAsync(Api.Completions, body))[0]["choices"]![0]!
            : (await _http.AskAsync(Api.Completions, body))["choices"]![0]!;

        Assert.Equal(Prompt + (string)generated["text"]!, (string?)echoed["text"]);
        foreach (var name in (string[])["token_logprobs", "top_logprobs", "tokens"])
        {
            var expected = generated["logprobs"]![name]!.AsArray().Select(entry => entry!.ToJsonString());
            Assert.Equal(expected, echoed["logprobs"]![name]!.AsArray().TakeLast(5).Select(entry => entry!.ToJsonString()));
        }

        Assert.Null(echoed["logprobs"]!["token_logprobs"]![0]);
        await fixture.Silo.WaitUntilIdleAsync();
    }

    [Fact]
    public async Task BestOf_IsTheLikeliestOfTheSameChoices()
    {
        (string, JsonNode?)[] fields = [("max_tokens", 12), ("temperature", 1.4), ("seed", 11), ("ignore_eos", true), ("logprobs", 0)];
        var all = await _http.AskAsync(Api.Completions, Api.CompletionBody("Once upon", [.. fields.Select(Copy), ("n", 5)]));
        var best = await _http.AskAsync(Api.Completions, Api.CompletionBody("Once upon", [.. fields.Select(Copy), ("n", 2), ("best_of", 5)]));

        var expected = all["choices"]!.AsArray()
            .OrderByDescending(choice => choice!["logprobs"]!["token_logprobs"]!.AsArray().Average(logprob => (double)logprob!))
            .Take(2).Select(choice => (string?)choice!["text"]);
        Assert.Equal(expected, best["choices"]!.AsArray().Select(choice => (string?)choice!["text"]));
        Assert.Equal((int)all["usage"]!["completion_tokens"]!, (int)best["usage"]!["completion_tokens"]!);
        await fixture.Silo.WaitUntilIdleAsync();

        static (string, JsonNode?) Copy((string Name, JsonNode? Value) field) => (field.Name, field.Value?.DeepClone());
    }

    private async Task<float[][]> EmbedAsync(JsonNode input, params (string Name, JsonNode? Value)[] fields)
    {
        var body = new JsonObject { ["model"] = Api.Model, ["input"] = input };
        foreach (var (name, value) in fields) body[name] = value;
        var answer = await _http.AskAsync(Api.Embeddings, body);
        return [.. answer["data"]!.AsArray().Select(item => item!["embedding"]!.AsArray().Select(number => (float)number!).ToArray())];
    }

    private static int[] Ids(JsonNode list) => [.. list.AsArray().Select(id => (int)id!)];
}
