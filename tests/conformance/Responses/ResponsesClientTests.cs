#pragma warning disable OPENAI001 // The client calls its Responses API experimental.
using System.ClientModel;
using System.ClientModel.Primitives;
using Granary.Tests.Conformance.Support;
using OpenAI.Responses;

namespace Granary.Tests.Conformance.Responses;

/// <summary>The official .NET client reads our responses and events.</summary>
[Collection(SiloTests.Name)]
public sealed class ResponsesClientTests(SiloFixture fixture)
{
    private const string Question = "What is the capital of France?";

    private readonly ResponsesClient _client = new(new ApiKeyCredential("none"), new ResponsesClientOptions
    {
        Endpoint = new Uri(fixture.Silo.Address, "/v1"),
        RetryPolicy = new ClientRetryPolicy(0),
    });

    [Fact]
    public async Task Whole_ThenGoneOnFrom_ThenListed_ThenDeleted()
    {
        ResponseResult first = await _client.CreateResponseAsync(Options(Question));
        ResponseResult second = await _client.CreateResponseAsync(Options("And of Italy?", first.Id));

        Assert.Contains("Paris", first.GetOutputText());
        Assert.Equal(ResponseStatus.Completed, first.Status);
        Assert.Equal(first.Usage.InputTokenCount + first.Usage.OutputTokenCount, first.Usage.TotalTokenCount);
        Assert.Equal(first.Id, second.PreviousResponseId);
        Assert.True(second.Usage.InputTokenCount > first.Usage.InputTokenCount);

        ResponseResult found = await _client.GetResponseAsync(second.Id);
        Assert.Equal(second.GetOutputText(), found.GetOutputText());
        var roles = new List<MessageRole>();
        await foreach (var item in _client.GetResponseInputItemsAsync(new ResponseItemCollectionOptions(second.Id) { PageSizeLimit = 2, Order = ResponseItemCollectionOrder.Ascending }))
            roles.Add(Assert.IsAssignableFrom<MessageResponseItem>(item).Role);
        Assert.Equal([MessageRole.User, MessageRole.Assistant, MessageRole.User], roles);

        ResponseDeletionResult deleted = await _client.DeleteResponseAsync(second.Id);
        Assert.True(deleted.Deleted);
        var gone = await Assert.ThrowsAsync<ClientResultException>(async () => await _client.GetResponseAsync(second.Id));
        Assert.Equal(404, gone.Status);
    }

    [Fact]
    public async Task Streamed()
    {
        var options = Options(Question);
        options.StreamingEnabled = true;
        options.IncludedProperties.Add(new IncludedResponseProperty("message.output_text.logprobs"));
        var (text, tokens, kinds) = ("", 0, new List<Type>());
        ResponseResult? end = null;

        await foreach (var update in await _client.CreateResponseStreamingAsync(options))
        {
            Assert.Equal(kinds.Count, update.SequenceNumber);
            kinds.Add(update.GetType());
            if (update is StreamingResponseOutputTextDeltaUpdate delta)
            {
                text += delta.Delta;
                tokens += delta.TokenLogProbabilities.Count;
            }

            if (update is StreamingResponseCompletedUpdate completed) end = completed.Response;
        }

        Assert.Equal(typeof(StreamingResponseCreatedUpdate), kinds[0]);
        Assert.Equal(typeof(StreamingResponseCompletedUpdate), kinds[^1]);
        Assert.Contains("Paris", text);
        Assert.True(tokens > 0);
        Assert.Equal(text, end!.GetOutputText());
    }

    [Fact]
    public async Task Refusal_IsItsException()
    {
        var options = Options(Question);
        options.Temperature = 7;

        var exception = await Assert.ThrowsAsync<ClientResultException>(async () => await _client.CreateResponseAsync(options));

        Assert.Equal(400, exception.Status);
        Assert.Contains("temperature", exception.Message);
    }

    private static CreateResponseOptions Options(string text, string? previous = null) => new(Api.Model, [ResponseItem.CreateUserMessageItem(text)])
    {
        Temperature = 0,
        MaxOutputTokenCount = 40,
        PreviousResponseId = previous,
    };
}
