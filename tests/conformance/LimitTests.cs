using System.Net;
using System.Runtime.CompilerServices;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance;

/// <summary>What clients are told when the cluster is full, gone, slow or breaks, told by a scripted client behind the real gateway.</summary>
public sealed class LimitTests(LimitTests.SmallSilo scripted) : IClassFixture<LimitTests.SmallSilo>
{
    private readonly ScriptedClient _client = scripted.Client;
    private readonly RunningSilo _silo = scripted.Silo;

    public static TheoryData<string, int, string> Refusals => new()
    {
        { "saturated", 429, "too_many_requests" },
        { "not-ready", 503, "model_not_ready" },
        { "refused", 400, "invalid_value" },
        { "failed", 500, "generation_failed" },
        { "defect", 500, "internal_error" },
    };

    [Theory, MemberData(nameof(Refusals))]
    public async Task RefusalBeforeTheFirstToken_HasItsStatus(string kind, int status, string code)
    {
        foreach (var stream in (bool[])[true, false])
        {
            _client.Script = (_, _) => Throw(kind);
            using var response = await _silo.Http.SendAsync(Api.Chat, Api.ChatBody("Hi", ("stream", stream)));

            var error = await Api.ErrorAsync(response, (HttpStatusCode)status);
            Assert.Equal(code, (string?)error["code"]);
            if (status is 429 or 503) Assert.Equal(TimeSpan.FromSeconds(3), response.Headers.RetryAfter!.Delta);
            if (kind == "refused") Assert.Equal("top_k", (string?)error["param"]);
            Assert.DoesNotContain("secret", (string)error["message"]!);
        }
    }

    [Fact]
    public async Task FailureInTheMiddle_EndsTheStreamWithErrorAndMark()
    {
        _client.Script = (_, _) => TokensThenAsync([100, 101], new ReplicaFailedException("device lost"));

        using var response = await _silo.Http.SendAsync(Api.Chat, Api.ChatBody("Hi", ("stream", true)));
        var frames = Api.ReadFrames(await response.Content.ReadAsStringAsync());

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.True(frames.Count >= 2);
        Assert.Equal("generation_failed", (string?)Api.CheckError(frames[^1])["code"]);
        Assert.All(frames.SkipLast(1), frame => Assert.Null(frame["choices"]![0]!["finish_reason"]));
    }

    [Fact]
    public async Task FailureInTheMiddle_OfAWholeAnswer_Is500()
    {
        _client.Script = (_, _) => TokensThenAsync([100, 101], new ReplicaFailedException("device lost"));

        using var response = await _silo.Http.SendAsync(Api.Chat, Api.ChatBody("Hi"));

        Assert.Equal("generation_failed", (string?)(await Api.ErrorAsync(response, HttpStatusCode.InternalServerError))["code"]);
    }

    [Fact]
    public async Task OneChoiceFails_TheOthersAreCancelled()
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _client.Script = (request, token) => request.Choice == 1
            ? TokensThenAsync([100], new ReplicaFailedException("device lost"))
            : ForeverAsync(cancelled, token);

        using var response = await _silo.Http.SendAsync(Api.Chat, Api.ChatBody("Hi", ("n", 2), ("stream", true)));
        var frames = Api.ReadFrames(await response.Content.ReadAsStringAsync());

        Api.CheckError(frames[^1]);
        await cancelled.Task.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Deadline_EndsARequestWhoseReplicaIsSilent(bool stream)
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _client.Script = (_, token) => ForeverAsync(cancelled, token);

        await using var silo = await RunningSilo.StartAsync(
            new() { ["Granary:Gateway:RequestTimeoutSeconds"] = "1" }, services => services.AddSingleton<IGenerationClient>(_client));

        using var response = await silo.Http.SendAsync(Api.Chat, Api.ChatBody("Hi", ("stream", stream)));

        if (stream)
            Assert.Equal("deadline_exceeded", (string?)Api.CheckError(Api.ReadFrames(await response.Content.ReadAsStringAsync())[^1])["code"]);
        else
            Assert.Equal("deadline_exceeded", (string?)(await Api.ErrorAsync(response, HttpStatusCode.GatewayTimeout))["code"]);
        await cancelled.Task.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task TooManyRequests_Is429_UntilOneEnds()
    {
        _client.Script = (_, token) => ForeverAsync(new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), token);
        var body = Api.ChatBody("Hi", ("stream", true));
        // Headers are sent with the first token: both are in progress.
        var first = await _silo.Http.SendAsync(Api.Chat, body);
        var second = await _silo.Http.SendAsync(Api.Chat, body);

        using (var third = await _silo.Http.SendAsync(Api.Chat, body))
        {
            Assert.Equal("too_many_requests", (string?)(await Api.ErrorAsync(third, HttpStatusCode.TooManyRequests))["code"]);
            Assert.NotNull(third.Headers.RetryAfter);
        }

        first.Dispose(); // The client leaves; its place is free as soon as the gateway sees it.
        second.Dispose();
        await Poll.UntilAsync(() => _silo.Services.GetRequiredService<Silo.Gateway.ConcurrencyLimit>().InProgress == 0, "no request is in progress");
        _client.Script = (_, _) => TokensThenAsync([100], null);
        using var fourth = await _silo.Http.SendAsync(Api.Chat, body);
        Assert.Equal(HttpStatusCode.OK, fourth.StatusCode);
        Api.ReadFrames(await fourth.Content.ReadAsStringAsync());
    }

    private static IAsyncEnumerable<TokenChunk> Throw(string kind) => TokensThenAsync([], kind switch
    {
        "saturated" => new ReplicaSaturatedException("full", TimeSpan.FromSeconds(2.5)),
        "not-ready" => new ModelNotReadyException("none", TimeSpan.FromSeconds(3)),
        "refused" => new RequestRefusedException("top_k is 7; at most 5.", "top_k"),
        "failed" => new ReplicaFailedException("device lost"),
        _ => new ArithmeticException("secret"),
    });

    private static async IAsyncEnumerable<TokenChunk> TokensThenAsync(int[] ids, Exception? failure)
    {
        for (var i = 0; i < ids.Length; i++)
        {
            await Task.Yield();
            yield return new TokenChunk { Index = i, TokenId = ids[i], FinishReason = failure is null && i == ids.Length - 1 ? FinishReason.Length : null };
        }

        if (failure is not null) throw failure;
    }

    private static async IAsyncEnumerable<TokenChunk> ForeverAsync(TaskCompletionSource cancelled, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        try
        {
            yield return new TokenChunk { TokenId = 100 };
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }
        finally
        {
            cancelled.TrySetResult();
        }
    }

    public sealed class SmallSilo : IAsyncLifetime
    {
        public ScriptedClient Client { get; } = new();

        public RunningSilo Silo { get; private set; } = null!;

        public async Task InitializeAsync() => Silo = await RunningSilo.StartAsync(
            new() { ["Granary:Gateway:MaxConcurrentRequests"] = "2" }, services => services.AddSingleton<IGenerationClient>(Client));

        public async Task DisposeAsync()
        {
            if (Silo is not null) await Silo.DisposeAsync();
        }
    }
}
