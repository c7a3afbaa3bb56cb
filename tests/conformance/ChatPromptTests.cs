using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>What the chat template is given, seen through a template that writes it all down.</summary>
public sealed class ChatPromptTests(ChatPromptTests.TellingSilo telling) : IClassFixture<ChatPromptTests.TellingSilo>
{
    private const string Tools = """[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{}}}}]""";

    [Fact]
    public async Task Roles_Parts_AndNames_AreWhatTemplatesKnow()
    {
        var told = await TellAsync("""
            {"messages":[
              {"role":"developer","content":"a"},
              {"role":"user","name":"zoe","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},
              {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\": [1, 2.5, null, true, \"é\"]}"}}]},
              {"role":"tool","tool_call_id":"1","content":"d"},
              {"role":"assistant","content":[{"type":"refusal","refusal":"no"}],"refusal":null,"reasoning_content":"hm"},
              {"role":"function","name":"g","content":"e"}]}
            """);

        Assert.Equal(
            ["system", "user", "assistant", "tool", "assistant", "tool"], told["messages"]!.AsArray().Select(message => (string?)message!["role"]));
        Assert.Equal(["a", "b\nc", "", "d", "no", "e"], told["messages"]!.AsArray().Select(message => (string?)message!["content"]));
        Assert.Equal("zoe", (string?)told["messages"]![1]!["name"]);
        Assert.Equal("1", (string?)told["messages"]![3]!["tool_call_id"]);
        Assert.Equal("hm", (string?)told["messages"]![4]!["reasoning_content"]);
        var call = told["messages"]![2]!["tool_calls"]![0]!;
        Assert.Equal("1", (string?)call["id"]);
        Assert.Equal("f", (string?)call["function"]!["name"]);
        Assert.Equal("""{"x":[1,2.5,null,true,"é"]}""", call["function"]!["arguments"]!.ToJsonString(new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
        Assert.Null(told["tools"]);
        Assert.Null(told["documents"]);
    }

    [Theory]
    [InlineData("\"[1]\"", "[1]")]
    [InlineData("\"not json\"", "not json")]
    [InlineData("\"\"", null)]
    [InlineData("null", null)]
    public async Task CallArguments_ThatAreNoObject_StayText(string arguments, string? expected)
    {
        var told = await TellAsync(
            """{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":""" + arguments + "}}]}]}");

        var given = told["messages"]![0]!["tool_calls"]![0]!["function"]!["arguments"]!;
        if (expected is null)
            Assert.Empty(given.AsObject());
        else
            Assert.Equal(expected, (string?)given);
    }

    [Theory]
    [InlineData("", true)]
    [InlineData(",\"tool_choice\":\"auto\"", true)]
    [InlineData(",\"tool_choice\":\"none\"", false)]
    public async Task Tools_AreGivenUnlessNoneIsToBeUsed(string choice, bool given)
    {
        var told = await TellAsync("""{"messages":[{"role":"user","content":"a"}],"tools":""" + Tools + choice + "}");

        if (given)
            Assert.True(JsonNode.DeepEquals(JsonNode.Parse(Tools), told["tools"]), told.ToJsonString());
        else
            Assert.Null(told["tools"]);
    }

    /// <summary>Whatever the model writes of tools comes back as text.</summary>
    [Fact]
    public async Task ToolsOfAChat_CountAsItsPrompt()
    {
        var body = Api.ChatBody("Hi", ("max_tokens", 1));
        body["model"] = "telling";
        var without = await telling.Silo.Http.AskAsync(Api.Chat, body);
        body["tools"] = JsonNode.Parse(Tools);
        var with = await telling.Silo.Http.AskAsync(Api.Chat, body);

        Assert.True((int)with["usage"]!["prompt_tokens"]! > (int)without["usage"]!["prompt_tokens"]!);
        Assert.NotNull((string?)with["choices"]![0]!["message"]!["content"]);
    }

    [Fact]
    public async Task DocumentsAndVariables_AreGiven()
    {
        var told = await TellAsync("""
            {"messages":[{"role":"user","content":"a"}],"documents":[{"title":"t","text":"x"}],"chat_template_kwargs":{"mood":{"deep":[1]}},"add_generation_prompt":false}
            """);

        Assert.Equal("""[{"title":"t","text":"x"}]""", told["documents"]!.ToJsonString());
        Assert.Equal("""{"deep":[1]}""", told["mood"]!.ToJsonString());
        Assert.False((bool)told["asks"]!);
    }

    [Fact]
    public async Task ContinueFinalMessage_EndsWithIt()
    {
        var text = await RenderAsync("""
            {"messages":[{"role":"user","content":"Name it."},{"role":"assistant","content":"The capital of "}],"continue_final_message":true}
            """);
        Assert.EndsWith("\"The capital of", text);

        foreach (var refused in (string[])[
            """{"messages":[{"role":"user","content":"a"}],"continue_final_message":true,"add_generation_prompt":true}""",
            """{"messages":[{"role":"assistant","content":" "}],"continue_final_message":true}"""])
        {
            using var response = await telling.Silo.Http.SendTextAsync("/tokenize", refused);
            Assert.Equal("continue_final_message", (string?)(await Api.ErrorAsync(response, System.Net.HttpStatusCode.BadRequest))["param"]);
        }
    }

    private async Task<JsonNode> TellAsync(string body) => JsonNode.Parse(await RenderAsync(body))!;

    private async Task<string> RenderAsync(string body)
    {
        var tokens = await telling.Silo.Http.AskAsync("/tokenize", JsonNode.Parse(body)!);
        return (string)(await telling.Silo.Http.AskAsync("/detokenize", new JsonObject { ["tokens"] = tokens["tokens"]!.DeepClone() }))["prompt"]!;
    }

    /// <summary>A silo whose model is the embedded one with a template that writes its variables as JSON.</summary>
    public sealed class TellingSilo : IAsyncLifetime
    {
        private const string Template =
            """{ "messages": {{ messages|tojson }}, "tools": {{ tools|tojson }}, "documents": {{ documents|tojson }}, "mood": {{ mood|default(none)|tojson }}, "asks": {{ add_generation_prompt|tojson }} }""";

        private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("granary-telling-");

        public RunningSilo Silo { get; private set; } = null!;

        public async Task InitializeAsync()
        {
            foreach (var file in Directory.EnumerateFiles(Path.Combine(AppContext.BaseDirectory, "models", "tiny-assistant")))
                File.Copy(file, Path.Combine(_folder.FullName, Path.GetFileName(file)));
            await File.WriteAllTextAsync(Path.Combine(_folder.FullName, "chat_template.jinja"), Template);
            Silo = await RunningSilo.StartAsync(new() { ["Granary:Models:0"] = $"telling={_folder.FullName}" });
        }

        public async Task DisposeAsync()
        {
            if (Silo is not null) await Silo.DisposeAsync();
            _folder.Delete(recursive: true);
        }
    }
}
