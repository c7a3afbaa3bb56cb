using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Client;
using Microsoft.Extensions.AI;

namespace Granary.Tests.Client.AI;

/// <summary>A <see cref="GranaryClient"/> as an <see cref="IChatClient"/>: what goes in, what comes out, what is refused.</summary>
public sealed class ChatClientTests
{
    private static readonly ChatMessage[] Hello = [new(ChatRole.User, "Hello")];

    [Fact]
    public async Task Options_AreMapped()
    {
        var fake = new FakeClient("ok");

        await fake.AsChatClient("mine").GetResponseAsync(Hello, new ChatOptions
        {
            ModelId = "named",
            Instructions = "Be brief.",
            Temperature = 0.5f,
            TopP = 0.25f,
            TopK = 7,
            MaxOutputTokens = 99,
            PresencePenalty = 1,
            FrequencyPenalty = -1,
            Seed = 12,
            StopSequences = ["END"],
            ResponseFormat = ChatResponseFormat.Text,
            AdditionalProperties = new()
            {
                ["min_p"] = 0.125,
                ["min_tokens"] = 3L,
                ["repetition_penalty"] = "1.5",
                ["top_logprobs"] = JsonSerializer.SerializeToElement(2),
                ["ignore_eos"] = true,
                ["cache_salt"] = "salt",
                ["session_id"] = "talk",
                ["chat_template_kwargs"] = new Dictionary<string, bool> { ["thinking"] = false },
                ["of_some_middleware"] = new object(),
            },
        });

        var request = Assert.Single(fake.Chats);
        Assert.Equal("named", request.Model);
        Assert.Equal([new ChatTurn("system", "Be brief."), new("user", "Hello")], request.Messages);
        Assert.Equal("""{"thinking":false}""", request.TemplateVariables!.ToJsonString());
        Assert.Equal("END", Assert.Single(request.Settings.Stops));
        Assert.Equal(
            new GenerationSettings
            {
                Temperature = 0.5f,
                TopP = 0.25f,
                TopK = 7,
                MaxTokens = 99,
                PresencePenalty = 1,
                FrequencyPenalty = -1,
                Seed = 12,
                SessionId = "talk",
                MinP = 0.125f,
                MinTokens = 3,
                RepetitionPenalty = 1.5f,
                TopLogprobs = 2,
                IgnoreEos = true,
                CacheSalt = "salt",
                Stops = request.Settings.Stops,
            },
            request.Settings);
    }

    [Fact]
    public async Task NoOptions_AskTheModelOfTheClient()
    {
        var fake = new FakeClient("ok", "ok");

        await fake.AsChatClient("mine").GetResponseAsync(Hello);
        await fake.AsChatClient().GetResponseAsync(Hello, new ChatOptions());

        Assert.Equal(["mine", null], fake.Chats.Select(chat => chat.Model));
        Assert.All(fake.Chats, chat => Assert.Equal(new GenerationSettings { Stops = chat.Settings.Stops }, chat.Settings));
    }

    [Fact]
    public async Task RawRepresentation_WinsOverOptions()
    {
        var fake = new FakeClient("ok", "ok");
        var chat = fake.AsChatClient();

        await chat.GetResponseAsync(Hello, new ChatOptions
        {
            Temperature = 1,
            Seed = 5,
            RawRepresentationFactory = _ => new GenerationSettings { Temperature = 0, LogitBias = new Dictionary<int, float> { [1] = 2 } },
        });
        await chat.GetResponseAsync(Hello, new ChatOptions
        {
            ModelId = "named",
            RawRepresentationFactory = _ => new ChatRequest { Model = "raw", Messages = [], Documents = [new JsonObject()] },
        });

        Assert.Equal((0f, 5L, 2f), (fake.Chats[0].Settings.Temperature, fake.Chats[0].Settings.Seed, fake.Chats[0].Settings.LogitBias![1]));
        Assert.Equal(("raw", 1, 1), (fake.Chats[1].Model, fake.Chats[1].Documents!.Count, fake.Chats[1].Messages.Count));
    }

    [Fact]
    public async Task Response_HasTextReasonUsageAndIds()
    {
        var response = await new FakeClient("one two").AsChatClient().GetResponseAsync(Hello);

        Assert.Equal("one two ", response.Text);
        Assert.Equal((ChatRole.Assistant, "chatcmpl-1"), (Assert.Single(response.Messages).Role, response.Messages[0].MessageId));
        Assert.Equal(("chatcmpl-1", "default", ChatFinishReason.Length, (DateTimeOffset?)FakeClient.Created),
            (response.ResponseId, response.ModelId, response.FinishReason, response.CreatedAt));
        Assert.Null(response.ConversationId); // The cluster keeps no conversation: each call must carry all of it.
        Assert.Equal((10L, 2L, 12L, 4L),
            (response.Usage!.InputTokenCount, response.Usage.OutputTokenCount, response.Usage.TotalTokenCount, response.Usage.CachedInputTokenCount));
        Assert.Equal(4, Assert.IsType<List<GenerationUpdate>>(response.RawRepresentation).Count);
    }

    [Fact]
    public async Task Stream_GivesTextsThenTheReasonThenTheUsage()
    {
        var updates = new List<ChatResponseUpdate>();
        await foreach (var update in new FakeClient("one two").AsChatClient().GetStreamingResponseAsync(Hello)) updates.Add(update);

        Assert.Equal(["one ", "two ", "", ""], updates.Select(update => update.Text));
        Assert.Equal(ChatFinishReason.Length, updates[2].FinishReason);
        Assert.Equal(4, Assert.IsType<UsageContent>(Assert.Single(updates[3].Contents)).Details.CachedInputTokenCount);
        Assert.All(updates, update =>
        {
            Assert.Equal(("chatcmpl-1", "chatcmpl-1", "default", (ChatRole?)ChatRole.Assistant), (update.ResponseId, update.MessageId, update.ModelId, update.Role));
            Assert.IsType<GenerationUpdate>(update.RawRepresentation);
        });
    }

    [Fact]
    public async Task CallsAndResults_BecomeToolCallsAndToolMessages()
    {
        var fake = new FakeClient("ok");

        await fake.AsChatClient().GetResponseAsync(
        [
            new(ChatRole.User, "What is 1 + 2, and 3 + 4?") { AuthorName = "Ann" },
            new(ChatRole.Assistant,
            [
                new TextReasoningContent("not sent"), new TextContent("I "), new TextContent("add."),
                new FunctionCallContent("a", "add", new Dictionary<string, object?> { ["x"] = 1, ["y"] = 2 }), new FunctionCallContent("b", "add"),
            ]),
            new(ChatRole.Tool,
            [
                new FunctionResultContent("a", 3), new FunctionResultContent("b", null) { Exception = new InvalidOperationException("no numbers") },
            ]),
            new(ChatRole.Tool, [new FunctionResultContent("c", "as it is"), new FunctionResultContent("d", new Dictionary<string, int> { ["n"] = 1 })]),
        ]);

        var turns = fake.Chats[0].Messages;
        Assert.Equal(["user", "assistant", "tool", "tool", "tool", "tool"], turns.Select(turn => turn.Role));
        Assert.Equal("Ann", turns[0].Name);
        Assert.Equal("I add.", turns[1].Content);
        Assert.True(JsonNode.DeepEquals(
            JsonNode.Parse("""[{"id":"a","type":"function","function":{"name":"add","arguments":"{\"x\":1,\"y\":2}"}},{"id":"b","type":"function","function":{"name":"add","arguments":"{}"}}]"""),
            turns[1].ToolCalls));
        Assert.Equal([("a", "3"), ("b", "Error: no numbers"), ("c", "as it is"), ("d", """{"n":1}""")], turns.Skip(2).Select(turn => (turn.ToolCallId!, turn.Content)));
    }

    [Fact]
    public async Task Tools_AreDeclaredInOpenAIsForm()
    {
        var fake = new FakeClient("ok", "ok");
        var options = new ChatOptions { Tools = [AIFunctionFactory.Create((int x) => x + 1, "next", "Adds one.")], ToolMode = ChatToolMode.Auto };

        await fake.AsChatClient().GetResponseAsync(Hello, options);
        options.ToolMode = ChatToolMode.None;
        await fake.AsChatClient().GetResponseAsync(Hello, options);

        var tool = Assert.Single(fake.Chats[0].Tools!)!;
        Assert.Equal(("function", "next", "Adds one."), ((string?)tool["type"], (string?)tool["function"]!["name"], (string?)tool["function"]!["description"]));
        Assert.Equal("integer", (string?)tool["function"]!["parameters"]!["properties"]!["x"]!["type"]);
        Assert.Null(fake.Chats[1].Tools);
    }

    public static TheoryData<string> Unsupported() => ["format", "forced tool", "hosted tool", "image", "n", "raw"];

    [Theory, MemberData(nameof(Unsupported))]
    public async Task WhatIsNotCarriedOut_IsRefusedByName(string what)
    {
        var (options, messages, words) = what switch
        {
            "format" => (new ChatOptions { ResponseFormat = ChatResponseFormat.Json }, Hello, "ChatOptions.ResponseFormat is ChatResponseFormatJson"),
            "forced tool" => (new ChatOptions { ToolMode = ChatToolMode.RequireAny }, Hello, "ChatOptions.ToolMode is RequiredChatToolMode"),
            "hosted tool" => (new ChatOptions { Tools = [new HostedWebSearchTool()] }, Hello, "HostedWebSearchTool"),
            "image" => (new ChatOptions(), [new ChatMessage(ChatRole.User, [new DataContent(new byte[] { 1 }, "image/png")])], "messages[0] has a DataContent of image/png"),
            "conversation" => (new ChatOptions { ConversationId = "talk" }, Hello, "ChatOptions.ConversationId is set"),
            "n" => (new ChatOptions { AdditionalProperties = new() { ["n"] = 2 } }, Hello, "n is 2"),
            _ => (new ChatOptions { RawRepresentationFactory = _ => "text" }, Hello, "RawRepresentationFactory made a String"),
        };

        var error = await Assert.ThrowsAsync<NotSupportedException>(() => new FakeClient("ok").AsChatClient().GetResponseAsync(messages, options));

        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("min_p", true)]
    [InlineData("min_p", "much")]
    [InlineData("min_tokens", 1.5)]
    [InlineData("ignore_eos", 1)]
    [InlineData("cache_salt", 7)]
    public async Task AdditionalPropertyOfAnotherType_IsRefusedByName(string name, object value)
    {
        var options = new ChatOptions { AdditionalProperties = new() { [name] = value } };

        var error = await Assert.ThrowsAsync<GranaryRequestException>(() => new FakeClient("ok").AsChatClient().GetResponseAsync(Hello, options));

        Assert.Equal(name, error.Parameter);
    }

    [Fact]
    public async Task Services_AreFoundByTypeAndWithoutKey()
    {
        var fake = new FakeClient();
        var chat = fake.AsChatClient("mine");

        var metadata = Assert.IsType<ChatClientMetadata>(chat.GetService(typeof(ChatClientMetadata)));
        Assert.Equal(("granary", fake.Endpoint, "mine"), (metadata.ProviderName, metadata.ProviderUri, metadata.DefaultModelId));
        Assert.Equal("default", ((ChatClientMetadata)fake.AsChatClient().GetService(typeof(ChatClientMetadata))!).DefaultModelId);
        Assert.Same(chat, chat.GetService(typeof(IChatClient)));
        Assert.Same(fake, chat.GetService(typeof(GranaryClient)));
        Assert.Null(chat.GetService(typeof(GranaryClient), "key"));
        Assert.Null(chat.GetService(typeof(string)));
        Assert.Throws<ArgumentNullException>(() => chat.GetService(null!));
        chat.Dispose();
        Assert.False(fake.IsDisposed);
        await fake.DisposeAsync();
    }
}
