using System.Text;
using Granary.Client;
using Granary.Tests.Client.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Client.Http;

/// <summary>Streams over HTTP: what is read of them, how they end, and who may end them.</summary>
public sealed class StreamTests
{
    [Fact]
    public async Task Chat_GivesTextsReasonsAndUsage_InOrder()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Frames(
            GatewayServer.Chunk(""), GatewayServer.Chunk("", index: 1), GatewayServer.Chunk("One", index: 1), GatewayServer.Chunk("Zero"),
            GatewayServer.Chunk(null, "length", 1), GatewayServer.Chunk(" more"), GatewayServer.Chunk(null, "stop"), GatewayServer.Usage(7, 4, 5), "[DONE]"));
        await using var client = Connect(server);

        var updates = await client.ChatAsync(Updates.Ask(settings: new() { Choices = 2 })).ReadAsync();

        Assert.Equal(
            [(1, "One", null), (0, "Zero", null), (1, "", "length"), (0, " more", null), (0, "", "stop"), (0, "", null)],
            updates.Select(update => (update.Choice, update.Text, update.FinishReason)));
        Assert.All(updates, update => Assert.Equal(("chatcmpl-1", "tiny", 1_700_000_000L), (update.ResponseId, update.Model, update.Created.ToUnixTimeSeconds())));
        Assert.Equal(new GenerationUsage(7, 4, 5), updates[^1].Usage);
        Assert.All(updates[..^1], update => Assert.Null(update.Usage));
    }

    [Fact]
    public async Task ChatLogprobs_AreRead()
    {
        const string Frame = """
            {"id":"a","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"é"},"finish_reason":null,"logprobs":{"content":[
            {"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[{"token":"é","logprob":-0.5,"bytes":null},{"token":"e","logprob":-1.25,"bytes":null}]}],"refusal":null}}]}
            """;
        await using var server = await GatewayServer.StartAsync(GatewayServer.Frames(Frame.ReplaceLineEndings(""), GatewayServer.Chunk(null, "stop"), "[DONE]"));
        await using var client = Connect(server);

        var logprob = Assert.Single((await client.ChatAsync(Updates.Ask(settings: new() { TopLogprobs = 2 })).ReadAsync())[0].Logprobs);

        Assert.Equal(("é", -0.5f), (logprob.Token, logprob.Logprob));
        Assert.Equal([("é", -0.5f), ("e", -1.25f)], logprob.Top);
        var body = server.Received[0].Body!;
        Assert.Equal((true, 2), ((bool)body["logprobs"]!, (int)body["top_logprobs"]!));
    }

    [Fact]
    public async Task CompletionLogprobs_AreRead()
    {
        const string Frame = """{"id":"a","created":1,"model":"m","choices":[{"index":0,"text":"ab","finish_reason":null,"logprobs":{"tokens":["a","b"],"token_logprobs":[null,-2],"top_logprobs":[null,{"b":-2,"c":-3}],"text_offset":[0,1]}}]}""";
        await using var server = await GatewayServer.StartAsync(GatewayServer.Frames(Frame, "[DONE]"));
        await using var client = Connect(server);

        var update = Assert.Single(await client.CompleteAsync(new() { PromptTokenIds = [1, 2], Settings = new() { TopLogprobs = 2 } }).ReadAsync());

        Assert.Equal("ab", update.Text);
        Assert.Equal([("a", 0f, 0), ("b", -2f, 2)], update.Logprobs.Select(logprob => (logprob.Token, logprob.Logprob, logprob.Top.Count)));
        Assert.Equal("/v1/completions", server.Received[0].Path);
        Assert.Equal("""[1,2]""", server.Received[0].Body!["prompt"]!.ToJsonString());
    }

    /// <summary>Bytes come one by one, characters in pieces, lines end as the format allows, and comments stand between.</summary>
    [Fact]
    public async Task SlowStream_IsReadAsAFastOne()
    {
        var bytes = Encoding.UTF8.GetBytes($": beat\r\n\r\ndata: {GatewayServer.Chunk("hé😀")}\r\n\r\ndata:{GatewayServer.Chunk(null, "stop")}\n\ndata: [DONE]\n\n");
        await using var server = await GatewayServer.StartAsync(async context =>
        {
            context.Response.ContentType = "text/event-stream; charset=utf-8";
            foreach (var octet in bytes)
            {
                await context.Response.Body.WriteAsync(new[] { octet });
                await context.Response.Body.FlushAsync();
            }
        });
        await using var client = Connect(server);

        Assert.Equal("hé😀", (await client.ChatAsync(Updates.Ask()).ReadAsync()).Text());
    }

    [Fact]
    public async Task StreamWithoutEndMark_Fails()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Frames(GatewayServer.Chunk("all"), GatewayServer.Chunk(null, "stop")));
        await using var client = Connect(server);

        var (updates, error) = await client.ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryGenerationException>();

        Assert.Equal("all", updates.Text());
        Assert.Contains("end mark", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"error":{"message":"It broke.","type":"server_error","param":null,"code":"generation_failed"}}""", typeof(GranaryGenerationException), "It broke.")]
    [InlineData("""{"error":{"message":"Too late.","type":"server_error","param":null,"code":"deadline_exceeded"}}""", typeof(TimeoutException), "Too late.")]
    [InlineData("""{"error":{"message":"No.","type":"x","param":"stop","code":"invalid_value"}}""", typeof(GranaryRequestException), "No.")]
    [InlineData("{not json", typeof(GranaryGenerationException), "cannot be read")]
    [InlineData("[]", typeof(GranaryGenerationException), "cannot be read")]
    [InlineData("""{"id":"a","created":"yesterday","model":"m","choices":[]}""", typeof(GranaryGenerationException), "cannot be read")]
    [InlineData("""{"id":"a","created":1,"model":"m","choices":[{"index":0.5}]}""", typeof(GranaryGenerationException), "cannot be read")]
    [InlineData("""{"id":"a","created":1,"model":"m","choices":[{"index":0,"delta":[],"finish_reason":null}]}""", typeof(GranaryGenerationException), "cannot be read")]
    public async Task FrameThatTellsOfAFailureOrIsNone_IsTyped(string frame, Type type, string words)
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Frames(GatewayServer.Chunk("a"), frame, "[DONE]"));
        await using var client = Connect(server);

        var (updates, error) = await client.ChatAsync(Updates.Ask()).ReadToErrorAsync<Exception>();

        Assert.Equal("a", updates.Text());
        Assert.IsType(type, error);
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnswerThatIsNoStream_Fails()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(200, "{}"));
        await using var client = Connect(server);

        var (_, error) = await client.ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryGenerationException>();

        Assert.Contains("application/json", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task EndlessLine_IsNotKept()
    {
        await using var server = await GatewayServer.StartAsync(async context =>
        {
            context.Response.ContentType = "text/event-stream";
            var spaces = new byte[64 * 1024];
            spaces.AsSpan().Fill((byte)' ');
            while (!context.RequestAborted.IsCancellationRequested) await context.Response.Body.WriteAsync(spaces, context.RequestAborted);
        });
        await using var client = Connect(server);

        var (_, error) = await client.ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryGenerationException>();

        Assert.Contains($"{BoundedLines.MaxLineBytes} bytes", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task LeavingTheEnumeration_ClosesTheConnection()
    {
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = await GatewayServer.StartAsync(GatewayServer.FramesThen([GatewayServer.Chunk("a")], GatewayServer.UntilAborted(closed)));
        await using var client = Connect(server);

        await foreach (var update in client.ChatAsync(Updates.Ask()))
        {
            Assert.Equal("a", update.Text);
            break;
        }

        await closed.Task.WaitAsync(Updates.Patience);
    }

    [Fact]
    public async Task Cancelling_EndsTheEnumerationAndClosesTheConnection()
    {
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = await GatewayServer.StartAsync(GatewayServer.FramesThen([GatewayServer.Chunk("a")], GatewayServer.UntilAborted(closed)));
        await using var client = Connect(server);
        using var cancel = new CancellationTokenSource();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in client.ChatAsync(Updates.Ask(), cancel.Token)) await cancel.CancelAsync();
        }).WaitAsync(Updates.Patience);

        await closed.Task.WaitAsync(Updates.Patience);
    }

    [Theory]
    [InlineData(false)] // While the gateway says nothing at all.
    [InlineData(true)] // While it generates.
    public async Task Deadline_IsATimeoutAndClosesTheConnection(bool begun)
    {
        var time = new ManualTime();
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var hold = GatewayServer.UntilAborted(closed);
        await using var server = await GatewayServer.StartAsync(begun ? GatewayServer.FramesThen([GatewayServer.Chunk("a")], hold) : hold);
        await using var client = Connect(server, time);
        var first = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        var reading = Assert.ThrowsAsync<TimeoutException>(async () =>
        {
            await foreach (var _ in client.ChatAsync(Updates.Ask(settings: new() { Timeout = TimeSpan.FromSeconds(5) }))) first.SetResult();
        });
        await (begun ? first.Task : time.Armed).WaitAsync(Updates.Patience);
        time.Advance(TimeSpan.FromSeconds(5));

        Assert.Contains("5 s", (await reading.WaitAsync(Updates.Patience)).Message, StringComparison.Ordinal);
        if (begun) await closed.Task.WaitAsync(Updates.Patience);
    }

    private static GranaryClient Connect(GatewayServer server, TimeProvider? time = null) => GranaryClient.Connect(
        new GranaryClientOptions { Endpoint = server.Address, MaxRetries = 0 }, null, time ?? TimeProvider.System, new Random(1));
}
