using System.Net;
using System.Text;
using System.Text.Json;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Silo.Gateway;
using Granary.Silo.Metrics;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>What mutated requests have found, each alone.</summary>
[Collection(SiloTests.Name)]
public sealed class FoundTests(SiloFixture fixture)
{
    /// <summary>A JSON reader looks for quotes, not at what stands between them.</summary>
    [Theory]
    [InlineData("""{"model":"tiny-assistant","messages":[{"role":"user","content":"?"}]}""")]
    [InlineData("""{"model":"tiny-assistant","messages":[{"role":"user","content":"Hi"}],"max_tokens":"?"}""")]
    [InlineData("""{"model":"tiny-assistant","messages":[{"role":"user","content":"Hi"}],"logit_bias":{"?":1}}""")]
    public async Task BytesThatAreNoUtf8_Are400(string body)
    {
        foreach (byte[] broken in (byte[][])[[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]])
        {
            var at = body.IndexOf('?', StringComparison.Ordinal);
            byte[] bytes = [.. Encoding.UTF8.GetBytes(body[..at]), .. broken, .. Encoding.UTF8.GetBytes(body[(at + 1)..])];
            using var content = new ByteArrayContent(bytes);
            using var response = await fixture.Http.PostAsync(Api.Chat, content);

            Assert.Equal("invalid_json", (string?)(await Api.ErrorAsync(response, HttpStatusCode.BadRequest))["code"]);
        }
    }

    [Theory]
    [InlineData("""{"model":"tiny-assistant","model":"tiny-assistant","messages":[{"role":"user","content":"Hi"}]}""")]
    [InlineData("""{"model":"tiny-assistant","messages":[{"role":"user","content":"Hi","name":{"a":1,"a":2}}]}""")]
    [InlineData("""{"model":"tiny-assistant","messages":[{"role":"user","content":"Hi"}],"user":[{"a":1,"a":2}]}""")]
    public async Task FieldGivenTwice_Is400(string body)
    {
        using var response = await fixture.Http.SendTextAsync(Api.Chat, body);

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal("invalid_json", (string?)error["code"]);
        Assert.Contains("twice", (string)error["message"]!);
    }

    /// <summary>An escape can name half of a character, in words that are compared as well.</summary>
    [Theory]
    [InlineData("tool_choice")]
    [InlineData("function_call")]
    [InlineData("use_beam_search")]
    public async Task WordThatIsNoText_Is400NamingIt(string field)
    {
        using var response = await fixture.Http.SendTextAsync(Api.Chat, Api.ChatBody("Hi").ToJsonString()[..^1] + $",\"{field}\":\"\\udc00\"}}");

        Assert.Equal(field, (string?)(await Api.ErrorAsync(response, HttpStatusCode.BadRequest))["param"]);
    }

    [Fact]
    public async Task ChunkOfAnImpossibleSize_Is400()
    {
        var request = new FuzzRequest("POST", Api.Chat) { Body = "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"u8.ToArray() };
        request.SetHeader("Transfer-Encoding", "chunked");

        var answer = await WireClient.SendAsync(fixture.Silo.Address, request, CancellationToken.None);

        Assert.Equal(400, answer.Status);
        Assert.Equal("bad_request", (string?)Api.CheckError(System.Text.Json.Nodes.JsonNode.Parse(answer.Body)!)["code"]);
    }

    /// <summary>A stream of tokens can be disposed only where it is at rest: a reader that is gone is no reason to hurry.</summary>
    [Fact]
    public async Task ReaderGoneWhileATokenIsOnItsWay_TheStreamIsDisposedAtRest()
    {
        using var body = JsonDocument.Parse(Api.ChatBody("Hi", ("stream", true)).ToJsonString());
        var plan = fixture.Silo.Services.GetRequiredService<PlanReader>().ReadChat(body.RootElement, arrived: 0);
        var client = new SlowSecondToken();
        var runner = new GenerationRunner(client, fixture.Silo.Services.GetRequiredService<RequestMetrics>(), TimeProvider.System);
        var reader = new GoneReader();

        var running = runner.RunAsync(plan, reader, null, CancellationToken.None);
        await reader.Gone.WaitAsync(TimeSpan.FromSeconds(30)); // A regression fails, and does not hang.
        Assert.False(client.Disposed);
        client.SecondToken.SetResult(true);
        await Assert.ThrowsAsync<IOException>(() => running);
        Assert.True(client.Disposed);
    }

    /// <summary>Sends one token at once, and the next when it is told to.</summary>
    private sealed class SlowSecondToken : IGenerationClient, IAsyncEnumerable<TokenChunk>, IAsyncEnumerator<TokenChunk>
    {
        private int _asked;

        public TaskCompletionSource<bool> SecondToken { get; } = new();

        public bool Disposed { get; private set; }

        public TokenChunk Current { get; } = new() { TokenId = 100 };

        public IAsyncEnumerable<TokenChunk> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken = default) => this;

        public Task<EmbedResult> EmbedAsync(EmbedRequest request, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public IAsyncEnumerator<TokenChunk> GetAsyncEnumerator(CancellationToken cancellationToken = default) => this;

        public ValueTask<bool> MoveNextAsync() => _asked++ == 0 ? new(true) : new(SecondToken.Task);

        public ValueTask DisposeAsync()
        {
            Assert.True(SecondToken.Task.IsCompleted, "disposed while the second token was on its way");
            Disposed = true;
            return default;
        }
    }

    /// <summary>Takes the first token, and is gone while the second is on its way.</summary>
    private sealed class GoneReader : IChoiceSink
    {
        private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Gone => _gone.Task;

        public ValueTask BeginAsync(int choice, CancellationToken cancellationToken) => default;

        public ValueTask WriteAsync(ChoiceDelta delta, CancellationToken cancellationToken) => default;

        public ValueTask FlushAsync(CancellationToken cancellationToken)
        {
            _gone.TrySetResult();
            throw new IOException("The reader is gone.");
        }

        public ValueTask EndAsync(ChoiceEnd end, CancellationToken cancellationToken) => default;
    }
}
