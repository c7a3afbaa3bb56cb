using System.ClientModel;
using Granary.Tests.Conformance.Support;
using OpenAI;
using OpenAI.Chat;

namespace Granary.Tests.Conformance.Clients;

/// <summary>The official .NET client reads our answers.</summary>
[Collection(SiloTests.Name)]
public sealed class OpenAIChatTests(SiloFixture fixture)
{
    private readonly ChatClient _chat = new(
        Api.Model, new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(fixture.Silo.Address, "/v1") });

    [Fact]
    public async Task Whole()
    {
        ChatCompletion answer = await _chat.CompleteChatAsync([new UserChatMessage("What is the capital of France?")]);

        Assert.Contains("Paris", answer.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
        Assert.Equal(ChatMessageRole.Assistant, answer.Role);
        Assert.Equal(answer.Usage.InputTokenCount + answer.Usage.OutputTokenCount, answer.Usage.TotalTokenCount);
    }

    [Fact]
    public async Task Streamed()
    {
        var (text, reason, usage) = ("", default(ChatFinishReason?), default(ChatTokenUsage));
        await foreach (var update in _chat.CompleteChatStreamingAsync([new UserChatMessage("What is the capital of France?")]))
        {
            foreach (var part in update.ContentUpdate) text += part.Text;
            reason ??= update.FinishReason;
            usage ??= update.Usage;
        }

        Assert.Contains("Paris", text);
        Assert.Equal(ChatFinishReason.Stop, reason);
        Assert.True(usage!.OutputTokenCount > 0);
    }

    [Fact]
    public async Task Refusal_IsItsException()
    {
        var exception = await Assert.ThrowsAsync<ClientResultException>(() =>
            _chat.CompleteChatAsync([new UserChatMessage("Hi")], new ChatCompletionOptions { Temperature = 7 }));

        Assert.Equal(400, exception.Status);
        Assert.Contains("temperature", exception.Message);
    }
}
