using System.ClientModel;
using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;
using OpenAI.Chat;

namespace Granary.Tests.Conformance.Clients;

/// <summary>The official .NET client reads our chat answers.</summary>
[Collection(SiloTests.Name)]
public sealed class OpenAIChatTests(SiloFixture fixture)
{
    private readonly ChatClient _chat = OpenAIDotNet.ChatOf(fixture.Silo);

    [Fact]
    public async Task Whole()
    {
        ChatCompletion answer = await _chat.CompleteChatAsync(OpenAIDotNet.Question);

        Assert.Contains("Paris", answer.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
        Assert.Equal(ChatMessageRole.Assistant, answer.Role);
        Assert.Equal(Api.Model, answer.Model);
        Assert.StartsWith("chatcmpl-", answer.Id);
        Assert.Equal(answer.Usage.InputTokenCount + answer.Usage.OutputTokenCount, answer.Usage.TotalTokenCount);
        Assert.InRange(answer.CreatedAt, DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddMinutes(5));
    }

    [Fact]
    public async Task Streamed()
    {
        ChatCompletion whole = await _chat.CompleteChatAsync(OpenAIDotNet.Question, new() { Temperature = 0 });
        var (text, reason, role, usage) = ("", default(ChatFinishReason?), default(ChatMessageRole?), default(ChatTokenUsage));
        await foreach (var update in _chat.CompleteChatStreamingAsync(OpenAIDotNet.Question, new() { Temperature = 0 }))
        {
            foreach (var part in update.ContentUpdate) text += part.Text;
            role ??= update.Role;
            reason ??= update.FinishReason;
            usage ??= update.Usage;
        }

        Assert.Equal(whole.Content[0].Text, text);
        Assert.Equal(ChatMessageRole.Assistant, role);
        Assert.Equal(ChatFinishReason.Stop, reason);
        Assert.Equal(whole.Usage.OutputTokenCount, usage!.OutputTokenCount);
        Assert.Equal(whole.Usage.InputTokenCount, usage.InputTokenCount);
    }

    [Fact]
    public async Task Conversation_OfEveryRole()
    {
        ChatMessage[] messages =
        [
            new SystemChatMessage("Be brief."), new DeveloperChatMessage("Be kind."),
            new UserChatMessage("What is the capital of Italy?") { ParticipantName = "ada" }, new AssistantChatMessage("Rome."),
            new UserChatMessage(ChatMessageContentPart.CreateTextPart("What is the capital "), ChatMessageContentPart.CreateTextPart("of France?")),
        ];

        ChatCompletion answer = await _chat.CompleteChatAsync(messages, new() { MaxOutputTokenCount = 3 });

        Assert.Equal(3, answer.Usage.OutputTokenCount);
        Assert.Equal(ChatFinishReason.Length, answer.FinishReason);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task LogProbabilities(bool stream)
    {
        var options = new ChatCompletionOptions { Temperature = 0, IncludeLogProbabilities = true, TopLogProbabilityCount = 3, MaxOutputTokenCount = 5 };
        var (text, tokens) = ("", new List<ChatTokenLogProbabilityDetails>());
        if (stream)
        {
            await foreach (var update in _chat.CompleteChatStreamingAsync(OpenAIDotNet.Question, options))
            {
                text += string.Concat(update.ContentUpdate.Select(part => part.Text));
                tokens.AddRange(update.ContentTokenLogProbabilities);
            }
        }
        else
        {
            ChatCompletion answer = await _chat.CompleteChatAsync(OpenAIDotNet.Question, options);
            text = answer.Content[0].Text;
            tokens.AddRange(answer.ContentTokenLogProbabilities);
        }

        Assert.Equal(5, tokens.Count);
        Assert.Equal(text, string.Concat(tokens.Select(token => token.Token)));
        Assert.All(tokens, token =>
        {
            Assert.Equal(3, token.TopLogProbabilities.Count);
            Assert.Equal(token.Token, token.TopLogProbabilities[0].Token); // Greedy chooses the likeliest.
            Assert.Equal(token.LogProbability, token.TopLogProbabilities[0].LogProbability);
            Assert.True(token.LogProbability <= 0);
            Assert.Equal(token.Token, System.Text.Encoding.UTF8.GetString(token.Utf8Bytes!.Value.Span));
        });
    }

    [Fact]
    public async Task Stop_EndsBeforeTheText()
    {
        var options = new ChatCompletionOptions { Temperature = 0, StopSequences = { "nowhere", "Paris" } };

        ChatCompletion answer = await _chat.CompleteChatAsync(OpenAIDotNet.Question, options);

        Assert.DoesNotContain("Paris", answer.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
    }

    [Fact]
    public async Task Seed_RepeatsTheText_AndPenaltiesAndBiasesAreTaken()
    {
        Assert.Equal(await AskAsync(7), await AskAsync(7));
        Assert.NotEqual(await AskAsync(7), await AskAsync(8));

        async Task<string> AskAsync(long seed)
        {
            var options = new ChatCompletionOptions
            {
                Seed = seed,
                Temperature = 2,
                TopP = 0.999f,
                FrequencyPenalty = 0.5f,
                PresencePenalty = 0.5f,
                MaxOutputTokenCount = 16,
                LogitBiases = { [2045] = -100, [2047] = -100 },
            };
            ChatCompletion answer = await _chat.CompleteChatAsync(OpenAIDotNet.Question, options);
            return answer.Content[0].Text;
        }
    }

    /// <summary>The client's own types show one choice; its protocol method sends and brings all.</summary>
    [Fact]
    public async Task Choices()
    {
        var body = Api.ChatBody("What is the capital of France?", ("n", 3), ("max_tokens", 8), ("temperature", 2), ("seed", 5), ("ignore_eos", true));

        var result = await _chat.CompleteChatAsync(BinaryContent.Create(BinaryData.FromString(body.ToJsonString())));

        var answer = JsonNode.Parse(result.GetRawResponse().Content.ToString())!;
        Assert.Equal([0, 1, 2], answer["choices"]!.AsArray().Select(choice => (int)choice!["index"]!));
        Assert.Equal(24, (int)answer["usage"]!["completion_tokens"]!);
        Assert.True(answer["choices"]!.AsArray().Select(choice => (string)choice!["message"]!["content"]!).Distinct().Count() > 1, "the choices differ");
    }
}
