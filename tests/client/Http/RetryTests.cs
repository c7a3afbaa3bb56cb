using Granary.Client;
using Granary.Tests.Client.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Client.Http;

/// <summary>What is tried again over HTTP, when, and what is not.</summary>
public sealed class RetryTests
{
    private const int Seed = 11;
    private static readonly TimeSpan Base = TimeSpan.FromSeconds(1);
    private readonly ManualTime _time = new();

    [Fact]
    public async Task WhatNobodyTook_IsTriedAgain_UnderOneId_AfterThePauseAskedFor()
    {
        await using var server = await GatewayServer.StartAsync(
            GatewayServer.Error(503, "loading", code: "model_not_ready", headers: ("Retry-After", "7")),
            GatewayServer.Error(429, "full"),
            GatewayServer.Says("hi"));
        await using var client = Connect(server.Address);

        var reading = client.ChatAsync(Updates.Ask()).ReadAsync();
        await _time.ArmedTimes(2).WaitAsync(Updates.Patience); // The deadline's timer is the first.
        Assert.InRange(_time.NextDue, TimeSpan.FromSeconds(7), TimeSpan.FromSeconds(7) + (Base / 2));
        _time.Advance(_time.NextDue);
        await _time.ArmedTimes(3).WaitAsync(Updates.Patience);
        Assert.InRange(_time.NextDue, Base, 2 * Base); // Doubled, then shortened by up to a half.
        _time.Advance(_time.NextDue);

        Assert.Equal("hi", (await reading.WaitAsync(Updates.Patience)).Text());
        Assert.Equal(3, server.Received.Count);
        Assert.Single(server.Received.Select(request => request.Headers["x-request-id"]).Distinct());
    }

    [Fact]
    public async Task ConnectionLostBeforeTheAnswer_IsTriedAgain()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Abort, GatewayServer.Says("hi"));
        await using var client = Connect(server.Address);

        var reading = client.ChatAsync(Updates.Ask()).ReadAsync();
        await _time.ArmedTimes(2).WaitAsync(Updates.Patience);
        _time.Advance(Base);

        Assert.Equal("hi", (await reading.WaitAsync(Updates.Patience)).Text());
    }

    [Fact]
    public async Task AttemptsUsedUp_TellsTheLastRefusal()
    {
        await using var server = await GatewayServer.StartAsync(
            GatewayServer.Error(429, "first"), GatewayServer.Error(429, "last", headers: [("Retry-After", "3"), ("x-request-id", "theirs")]));
        await using var client = Connect(server.Address, maxRetries: 1);

        var reading = client.ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryUnavailableException>();
        await _time.ArmedTimes(2).WaitAsync(Updates.Patience);
        _time.Advance(Base);

        var (_, error) = await reading;
        Assert.Equal(("last", TimeSpan.FromSeconds(3), "theirs"), (error.Message, error.RetryAfter, error.RequestId));
        Assert.Equal(2, server.Received.Count);
    }

    [Fact]
    public async Task PauseThatOutlastsTheDeadline_IsNotWaitedFor()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Error(503, "later", headers: ("Retry-After", "60")));
        await using var client = Connect(server.Address);

        var (_, error) = await client.ChatAsync(Updates.Ask(settings: new() { Timeout = TimeSpan.FromSeconds(59) })).ReadToErrorAsync<GranaryUnavailableException>();

        Assert.Equal(TimeSpan.FromSeconds(60), error.RetryAfter);
        Assert.Single(server.Received);
    }

    [Fact]
    public async Task RetryAfterAsADate_CountsFromNow()
    {
        var date = (_time.GetUtcNow() + TimeSpan.FromSeconds(90)).ToString("R", System.Globalization.CultureInfo.InvariantCulture);
        await using var server = await GatewayServer.StartAsync(GatewayServer.Error(503, "later", headers: ("Retry-After", date)));
        await using var client = Connect(server.Address, maxRetries: 0);

        var (_, error) = await client.ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryUnavailableException>();

        Assert.Equal(TimeSpan.FromSeconds(90), error.RetryAfter);
    }

    [Fact]
    public async Task BrokenStream_IsToldAndNotTriedAgain()
    {
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = await GatewayServer.StartAsync(
            GatewayServer.FramesThen([GatewayServer.Chunk("half ")], async context =>
            {
                await read.Task; // A reset can overtake what was sent before it.
                context.Abort();
            }),
            GatewayServer.Says("never"));
        await using var client = Connect(server.Address);

        var error = await Assert.ThrowsAsync<GranaryGenerationException>(async () =>
        {
            await foreach (var update in client.ChatAsync(Updates.Ask()))
            {
                Assert.Equal("half ", update.Text);
                read.SetResult();
            }
        }).WaitAsync(Updates.Patience);

        Assert.Equal("from-the-gateway", error.RequestId);
        Assert.Single(server.Received);
    }

    [Theory]
    [InlineData(400)]
    [InlineData(500)]
    [InlineData(504)]
    public async Task OtherFailures_AreNotTriedAgain(int status)
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Error(status, "no"), GatewayServer.Says("never"));
        await using var client = Connect(server.Address);

        await client.ChatAsync(Updates.Ask()).ReadToErrorAsync<Exception>();

        Assert.Single(server.Received);
    }

    /// <summary>Pauses double, are shortened by no more than a half, and end at a bound, whatever the draw.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Pauses_StayWithinTheirBounds(int seed)
    {
        var options = new GranaryClientOptions { RetryBaseDelay = Base, MaxRetries = 10 };
        var schedule = new RetrySchedule(options, _time, new Random(seed));
        for (var failed = 1; failed <= 10; failed++)
        {
            var full = TimeSpan.FromSeconds(Math.Min(30, Math.Pow(2, failed - 1)));
            Assert.InRange(schedule.PauseAfter(failed, null), full / 2, full);
            Assert.InRange(schedule.PauseAfter(failed, TimeSpan.FromSeconds(45)), TimeSpan.FromSeconds(45), TimeSpan.FromSeconds(45) + (Base / 2));
        }
    }

    private GranaryClient Connect(Uri address, int maxRetries = 2) => GranaryClient.Connect(
        new GranaryClientOptions { Endpoint = address, MaxRetries = maxRetries, RetryBaseDelay = Base }, null, _time, new Random(Seed));
}
