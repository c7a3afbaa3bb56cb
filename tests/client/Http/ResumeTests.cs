using System.Text;
using Granary.Client;
using Granary.Tests.Client.Support;
using Granary.Tests.Support;
using Microsoft.AspNetCore.Http;

namespace Granary.Tests.Client.Http;

/// <summary>Streams that break over HTTP, and go on behind the last frame that came.</summary>
public sealed class ResumeTests
{
    private static readonly TimeSpan Base = TimeSpan.FromSeconds(1);
    private readonly ManualTime _time = new();

    [Theory]
    [InlineData(true)] // The connection breaks.
    [InlineData(false)] // The body ends in order, without its end mark.
    public async Task BrokenStream_GoesOnBehindItsLastFrame(bool aborts)
    {
        // What is aborted before it was read is lost: the connection breaks once the client has the frame.
        var reads = new[] { "one ", "two ", "three" }.ToDictionary(text => text, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        await using var server = await GatewayServer.StartAsync(
            EventsThen(Break("one "), ("s/0", GatewayServer.Chunk("")), ("s/1", GatewayServer.Chunk("one "))),
            EventsThen(Break("two "), ("s/2", GatewayServer.Chunk("two "))),
            Events(("s/3", GatewayServer.Chunk("three")), ("s/3e", GatewayServer.Chunk(null, "stop")), ("s/3e/u", GatewayServer.Usage(1, 0, 3)), ("s/3e/d", "[DONE]")));
        await using var client = Connect(server.Address);

        var updates = await PassAsync(ReadAsync(), 2);

        Assert.Equal("one two three", updates.Text());
        Assert.Equal(3, updates[^1].Usage!.CompletionTokens);
        Assert.Equal([null, "s/1", "s/2"], server.Received.Select(request => request.Headers.GetValueOrDefault("last-event-id")));
        Assert.All(server.Received, request => Assert.Equal("text/event-stream", request.Headers["accept"]));
        Assert.All(server.Received, request => Assert.Equal(server.Received[0].Body!.ToJsonString(), request.Body!.ToJsonString()));
        Assert.Single(server.Received.Skip(1).Select(request => request.Headers["x-request-id"]).Distinct());

        async Task<List<GenerationUpdate>> ReadAsync()
        {
            var all = new List<GenerationUpdate>();
            await foreach (var update in client.ChatAsync(Updates.Ask()))
            {
                all.Add(update);
                if (reads.TryGetValue(update.Text, out var read)) read.SetResult();
            }

            return all;
        }

        Func<HttpContext, Task> Break(string text) => async context =>
        {
            if (!aborts) return;
            await reads[text].Task;
            context.Abort();
        };
    }

    /// <summary>An id whose frame did not come whole was not received.</summary>
    [Fact]
    public async Task BrokenInsideAFrame_AsksForThatFrameAgain()
    {
        await using var server = await GatewayServer.StartAsync(
            async context =>
            {
                await Events(("s/1", GatewayServer.Chunk("one ")))(context);
                await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes($"id: s/2\ndata: {GatewayServer.Chunk("two")}\n"));
            },
            Events(("s/2", GatewayServer.Chunk("two")), ("s/2e", GatewayServer.Chunk(null, "stop")), ("s/2e/d", "[DONE]")));
        await using var client = Connect(server.Address);

        Assert.Equal("one two", (await PassAsync(client.ChatAsync(Updates.Ask()).ReadAsync(), 1)).Text());
        Assert.Equal("s/1", server.Received[1].Headers["last-event-id"]);
    }

    /// <summary>What proxies say of a gateway that is gone is tried again; that nothing is lacking ends the stream.</summary>
    [Fact]
    public async Task WhileNobodyGoesOn_ItIsTriedAgain()
    {
        await using var server = await GatewayServer.StartAsync(
            Events(("s/1", GatewayServer.Chunk("one")), ("s/1e", GatewayServer.Chunk(null, "stop"))),
            GatewayServer.Abort, GatewayServer.Json(502, ""), GatewayServer.Error(503, "loading"),
            context =>
            {
                context.Response.StatusCode = StatusCodes.Status204NoContent;
                return Task.CompletedTask;
            });
        await using var client = Connect(server.Address);

        var updates = await PassAsync(client.ChatAsync(Updates.Ask()).ReadAsync(), 4);

        Assert.Equal("one", updates.Text());
        Assert.Equal(5, server.Received.Count);
    }

    [Fact]
    public async Task NobodyKnowsTheStream_TellsWhyItBroke_AndWhyItDoesNotGoOn()
    {
        await using var server = await GatewayServer.StartAsync(
            Events(("s/1", GatewayServer.Chunk("one"))), GatewayServer.Error(404, "There is no stream 's'.", "stream_id", "stream_not_found"));
        await using var client = Connect(server.Address);

        var (updates, error) = await PassAsync(client.ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryGenerationException>(), 1);

        Assert.Equal("one", updates.Text());
        Assert.Contains("end mark", error.Message, StringComparison.Ordinal);
        Assert.Contains("no stream 's'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AttemptsUsedUp_TellsThatItBroke()
    {
        await using var server = await GatewayServer.StartAsync(Events(("s/1", GatewayServer.Chunk("one"))), GatewayServer.Abort, GatewayServer.Abort);
        await using var client = Connect(server.Address, maxResumes: 2);

        var (updates, error) = await PassAsync(client.ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryGenerationException>(), 2);

        Assert.Equal("one", updates.Text());
        Assert.Contains("end mark", error.Message, StringComparison.Ordinal);
        Assert.Equal(3, server.Received.Count);
    }

    [Fact]
    public async Task GatewayIsGone_TheNextIsAsked()
    {
        await using var second = await GatewayServer.StartAsync(Events(("s/2", GatewayServer.Chunk("two")), ("s/2e", GatewayServer.Chunk(null, "stop")), ("s/2e/d", "[DONE]")));
        var first = await GatewayServer.StartAsync(Events(("s/1", GatewayServer.Chunk("one "))));
        await using var client = Connect(first.Address, others: [second.Address]);
        var updates = new List<GenerationUpdate>();

        var reading = Task.Run(async () =>
        {
            await foreach (var update in client.ChatAsync(Updates.Ask()))
            {
                updates.Add(update);
                if (updates.Count == 1) await first.DisposeAsync();
            }

            return updates;
        });
        await PassAsync(reading, 2);

        Assert.Equal("one two", updates.Text());
        Assert.Equal("s/1", Assert.Single(second.Received).Headers["last-event-id"]);
    }

    [Fact]
    public void Options_OutOfBounds_AreNamed()
    {
        var options = new GranaryClientOptions { MaxResumes = 101 };
        options.OtherEndpoints.Add(new Uri("ftp://x"));

        var failures = GranaryClientOptionsValidator.Find(options).ToArray();

        Assert.Contains(failures, failure => failure.Contains("MaxResumes is 101", StringComparison.Ordinal) && failure.Contains("100", StringComparison.Ordinal));
        Assert.Contains(failures, failure => failure.Contains("OtherEndpoints[0] is ftp://x", StringComparison.Ordinal));
        Assert.Contains(failures, failure => failure.Contains("Endpoint", StringComparison.Ordinal) && failure.Contains("empty", StringComparison.Ordinal));
    }

    /// <summary>A stream of these events, which ends behind the last.</summary>
    private static Func<HttpContext, Task> Events(params (string Id, string Data)[] events) => EventsThen(_ => Task.CompletedTask, events);

    private static Func<HttpContext, Task> EventsThen(Func<HttpContext, Task> then, params (string Id, string Data)[] events) => async context =>
    {
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers["x-request-id"] = "from-the-gateway";
        foreach (var (id, data) in events)
        {
            await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes($"id: {id}\ndata: {data}\n\n"));
            await context.Response.Body.FlushAsync();
        }

        await then(context);
    };

    /// <summary>Lets the pauses pass, each as soon as somebody waits for it.</summary>
    private async Task<T> PassAsync<T>(Task<T> reading, int pauses)
    {
        for (var pause = 1; pause <= pauses; pause++)
        {
            await _time.ArmedTimes(1 + pause).WaitAsync(Updates.Patience); // The deadline's timer is the first.
            _time.Advance(_time.NextDue);
        }

        return await reading.WaitAsync(Updates.Patience);
    }

    private GranaryClient Connect(Uri address, int maxResumes = 8, Uri[]? others = null)
    {
        var options = new GranaryClientOptions { Endpoint = address, MaxResumes = maxResumes, RetryBaseDelay = Base, Timeout = TimeSpan.FromHours(1) };
        foreach (var other in others ?? []) options.OtherEndpoints.Add(other);
        return GranaryClient.Connect(options, null, _time, new Random(1));
    }
}
