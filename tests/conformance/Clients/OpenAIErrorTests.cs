using System.ClientModel;
using System.Net.Http.Headers;
using Granary.Tests.Conformance.Support;
using OpenAI.Chat;
using OpenAI.Models;

namespace Granary.Tests.Conformance.Clients;

/// <summary>What the official .NET client makes of models, refusals and leaving.</summary>
[Collection(SiloTests.Name)]
public sealed class OpenAIErrorTests(SiloFixture fixture)
{
    private readonly ChatClient _chat = OpenAIDotNet.ChatOf(fixture.Silo);

    [Fact]
    public async Task Models_ListAndOne()
    {
        var models = OpenAIDotNet.Of(fixture.Silo).GetOpenAIModelClient();

        OpenAIModelCollection all = await models.GetModelsAsync();
        OpenAIModel one = await models.GetModelAsync(Api.Model);
        var missing = await Assert.ThrowsAsync<ClientResultException>(() => models.GetModelAsync("gpt-none"));

        Assert.Equal(Api.Model, Assert.Single(all).Id);
        Assert.Equal(Api.Model, one.Id);
        Assert.Equal(404, missing.Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task WrongValue_Is400NamingTheField(bool stream)
    {
        var exception = await Assert.ThrowsAsync<ClientResultException>(() => AskAsync(_chat, new() { Temperature = 7 }, stream));

        Assert.Equal(400, exception.Status);
        Assert.Contains("temperature", exception.Message);
        Assert.Equal(("temperature", "invalid_value"), OpenAIDotNet.ErrorOf(exception));
        Assert.True(exception.GetRawResponse()!.Headers.TryGetValue("x-request-id", out var id) && id!.Length > 0);
    }

    [Fact]
    public async Task UnknownModel_Is404()
    {
        var exception = await Assert.ThrowsAsync<ClientResultException>(() =>
            AskAsync(OpenAIDotNet.ChatOf(fixture.Silo, model: "gpt-none"), new(), stream: false));

        Assert.Equal(404, exception.Status);
        Assert.Equal(("model", "model_not_found"), OpenAIDotNet.ErrorOf(exception));
    }

    [Fact]
    public async Task WrongKey_Is401_AndTheRightOneOpens()
    {
        const string Key = "sk-dotnet-0123456789";
        await using var silo = await RunningSilo.StartAsync(new() { ["Granary:Gateway:ApiKeys:0"] = Key });

        foreach (var wrong in (string[])["sk-wrong", Key + "0"])
        {
            var exception = await Assert.ThrowsAsync<ClientResultException>(() => AskAsync(OpenAIDotNet.Of(silo, wrong).GetChatClient(Api.Model), new(), stream: true));
            Assert.Equal(401, exception.Status);
            Assert.Equal((null, "invalid_api_key"), OpenAIDotNet.ErrorOf(exception));
        }

        await AskAsync(OpenAIDotNet.Of(silo, Key).GetChatClient(Api.Model), new() { MaxOutputTokenCount = 2 }, stream: true);
    }

    [Fact]
    public async Task Tools_AreTaken_AndAForcedCallIsRefused()
    {
        var tool = ChatTool.CreateFunctionTool("weather", "Tells the weather.", BinaryData.FromString("{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}"));

        ChatCompletion answer = await _chat.CompleteChatAsync(OpenAIDotNet.Question, new() { Tools = { tool }, ToolChoice = ChatToolChoice.CreateAutoChoice(), MaxOutputTokenCount = 4 });
        var exception = await Assert.ThrowsAsync<ClientResultException>(() => AskAsync(_chat, new() { Tools = { tool }, ToolChoice = ChatToolChoice.CreateRequiredChoice() }, stream: false));

        Assert.Empty(answer.ToolCalls);
        Assert.Equal(ChatFinishReason.Length, answer.FinishReason);
        Assert.Equal(("tool_choice", "unsupported_value"), OpenAIDotNet.ErrorOf(exception));
    }

    [Fact]
    public async Task FullSilo_Is429_AndTheClientsOwnRetriesGetThrough()
    {
        await using var silo = await RunningSilo.StartAsync(new() { ["Granary:Gateway:MaxConcurrentRequests"] = "1" });
        using var leave = new CancellationTokenSource();
        await using var first = Endless(silo, leave.Token).GetAsyncEnumerator();
        Assert.True(await first.MoveNextAsync());

        var exception = await Assert.ThrowsAsync<ClientResultException>(() => AskAsync(OpenAIDotNet.ChatOf(silo), new(), stream: false));
        Assert.Equal(429, exception.Status);
        Assert.True(exception.GetRawResponse()!.Headers.TryGetValue("Retry-After", out var wait) && RetryConditionHeaderValue.TryParse(wait, out _));

        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await DrainAsync(first));
        await AskAsync(OpenAIDotNet.Of(silo, retries: 5).GetChatClient(Api.Model), new() { MaxOutputTokenCount = 4 }, stream: false);
    }

    [Fact]
    public async Task CancelledStream_FreesItsSequence()
    {
        await fixture.Silo.WaitUntilIdleAsync();
        using var leave = new CancellationTokenSource();
        await using (var updates = Endless(fixture.Silo, leave.Token).GetAsyncEnumerator())
        {
            Assert.True(await updates.MoveNextAsync());
            Assert.True(fixture.Silo.KvBlocksUsed > 0);
            await leave.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await DrainAsync(updates));
        }

        await WaitUntilMetricsShowNothingAsync();
    }

    [Fact]
    public async Task StreamLeftInTheMiddle_FreesItsSequence()
    {
        await fixture.Silo.WaitUntilIdleAsync();
        await foreach (var update in Endless(fixture.Silo, CancellationToken.None))
        {
            Assert.NotNull(update.CompletionId);
            break;
        }

        await WaitUntilMetricsShowNothingAsync();
    }

    [Fact]
    public async Task TheClientsTimeout_FreesItsSequence()
    {
        await fixture.Silo.WaitUntilIdleAsync();
        var body = Api.ChatBody("Count.", ("ignore_eos", true), ("n", 32));

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            OpenAIDotNet.ChatOf(fixture.Silo, timeout: TimeSpan.FromMilliseconds(300)).CompleteChatAsync(BinaryContent.Create(BinaryData.FromString(body.ToJsonString()))));

        await WaitUntilMetricsShowNothingAsync();
    }

    /// <summary>A stream that would fill the context: every token that could end it is forbidden.</summary>
    private static AsyncCollectionResult<StreamingChatCompletionUpdate> Endless(RunningSilo silo, CancellationToken cancellationToken)
    {
        var options = new ChatCompletionOptions { Temperature = 0 };
        foreach (var id in (int[])[2045, 2047]) options.LogitBiases[id] = -100;
        return OpenAIDotNet.ChatOf(silo).CompleteChatStreamingAsync(OpenAIDotNet.Question, options, cancellationToken);
    }

    private static async Task AskAsync(ChatClient chat, ChatCompletionOptions options, bool stream)
    {
        if (stream)
            await foreach (var _ in chat.CompleteChatStreamingAsync(OpenAIDotNet.Question, options)) { }
        else
            await chat.CompleteChatAsync(OpenAIDotNet.Question, options);
    }

    private static async Task DrainAsync(IAsyncEnumerator<StreamingChatCompletionUpdate> updates)
    {
        while (await updates.MoveNextAsync()) { }
    }

    /// <summary>As an operator sees it: no sequence runs or waits, no KV block is held.</summary>
    private async Task WaitUntilMetricsShowNothingAsync()
    {
        await fixture.Silo.WaitUntilIdleAsync();
        var scrape = await fixture.Http.GetStringAsync("/metrics");
        foreach (var name in (string[])["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"])
            Assert.Contains(scrape.Split('\n'), line => line.StartsWith(name + "{", StringComparison.Ordinal) && line.EndsWith(" 0", StringComparison.Ordinal));
    }
}
