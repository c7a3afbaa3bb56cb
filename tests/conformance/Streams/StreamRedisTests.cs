using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Deploy;
using Granary.Tests.Conformance.Storage;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Streams;

/// <summary>Journals in Redis: streams go on after the loss of everybody who had them.</summary>
public sealed class StreamRedisTests
{
    [RedisFact]
    public async Task GatewayAndJournalEndTogether_AnotherSiloGoesOn()
    {
        await using var redis = await RedisServer.StartAsync();
        List<StreamEvent> had;
        await using (var silo = await StartAsync(redis))
        {
            await using var stream = await EventStream.OpenAsync(silo.Http, Api.Chat, Body());
            had = await stream.ReadAsync(20);
        }

        await using var next = await StartAsync(redis);
        var rest = await EventStream.ReadAllAsync(next.Http, Api.Chat, Body(), had[^1].Id);

        // The seed was drawn by the silo that is gone: the stream from its beginning is its own measure.
        var whole = await EventStream.ReadAllAsync(next.Http, $"/v1/streams/{had[0].Id!.Split('/')[0]}", null);
        Assert.Equal(EventStream.ByChoice(whole), EventStream.ByChoice([.. had, .. rest]));
        Assert.True(rest.Count > 50, $"Only {rest.Count} events came behind the cut: the test shows little.");
    }

    [RedisFact]
    public async Task RedisIsSilent_StreamsComeAsEver()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var silo = await StartAsync(redis, beginMilliseconds: 50);
        redis.Freeze();

        var events = await EventStream.ReadAllAsync(silo.Http, Api.Chat, Body());

        Assert.True(events[^1].IsEnd);
        Assert.Null(events[0].Id); // It would lead nowhere.
        redis.Thaw();
    }

    private static JsonObject Body() => Api.ChatBody("Tell me a story.", ("stream", true), ("max_tokens", 150), ("temperature", 1.1), ("ignore_eos", true));

    private static Task<RunningSilo> StartAsync(RedisServer redis, int beginMilliseconds = 10_000) => RunningSilo.StartAsync(new()
    {
        ["Granary:Storage:Redis"] = redis.Endpoint,
        ["Granary:Streams:BeginMilliseconds"] = $"{beginMilliseconds}",
        ["Logging:LogLevel:Default"] = "Error", // Warnings about Redis are what is wanted here.
    });
}
