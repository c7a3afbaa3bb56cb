using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>Text to ids and back over HTTP, and what the gateway tells of itself.</summary>
[Collection(SiloTests.Name)]
public sealed class TokenEndpointTests(SiloFixture fixture)
{
    private readonly HttpClient _http = fixture.Http;

    [Theory]
    [InlineData("What is the capital of France?")]
    [InlineData("héllo 日本 👩‍👩‍👧")]
    [InlineData("<|im_start|>user\n")]
    [InlineData("")]
    public async Task Tokenize_ThenDetokenize_IsTheText(string text)
    {
        var tokens = await _http.AskAsync("/tokenize", new JsonObject { ["model"] = Api.Model, ["prompt"] = text, ["return_token_strs"] = true });
        var back = await _http.AskAsync("/detokenize", new JsonObject { ["model"] = Api.Model, ["tokens"] = tokens["tokens"]!.DeepClone() });

        Assert.Equal(text, (string?)back["prompt"]);
        Assert.Equal(tokens["tokens"]!.AsArray().Count, (int)tokens["count"]!);
        Assert.Equal(tokens["tokens"]!.AsArray().Count, tokens["token_strs"]!.AsArray().Count);
        Assert.Equal(1024, (int)tokens["max_model_len"]!);
        if (text.All(char.IsAscii)) Assert.Equal(text, string.Concat(tokens["token_strs"]!.AsArray().Select(token => (string)token!)));
    }

    [Fact]
    public async Task Tokenize_OfMessages_CountsAsTheChatDoes()
    {
        var chat = Api.ChatBody("What is the capital of France?", ("max_tokens", 1));
        var body = new JsonObject { ["messages"] = chat["messages"]!.DeepClone() };

        var tokens = await _http.AskAsync("/tokenize", body);
        body["add_generation_prompt"] = false;
        var without = await _http.AskAsync("/tokenize", body);
        var answer = await _http.AskAsync(Api.Chat, chat);

        Assert.Equal((int)answer["usage"]!["prompt_tokens"]!, (int)tokens["count"]!);
        Assert.True((int)without["count"]! < (int)tokens["count"]!);
        Assert.Null(tokens["token_strs"]);
    }

    [Fact]
    public async Task Version_IsTold()
    {
        var version = JsonNode.Parse(await _http.GetStringAsync("/version"))!;
        Assert.Equal(["version"], version.AsObject().Select(field => field.Key));
        Assert.Matches(@"^\d+\.\d+", (string?)version["version"]);
    }
}
