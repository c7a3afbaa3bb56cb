using Granary.Tests.Conformance.Deploy;
using Granary.Tests.Conformance.Responses;
using Granary.Tests.Conformance.Storage;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Sessions;

/// <summary>Sessions and stored responses in Redis: they outlive their silo, and answers do not need it.</summary>
public sealed class SessionRedisTests
{
    [RedisFact]
    public async Task SiloEnds_AnotherFindsWhatItKept()
    {
        await using var redis = await RedisServer.StartAsync();
        var response = "";
        await using (var silo = await StartAsync(redis))
        {
            response = ResponsesApi.IdOf(await silo.Http.AskAsync(ResponsesApi.Path, ResponsesApi.Body("Hello", ("session_id", "talk"))));
            await silo.Http.AskAsync(Api.Chat, Api.ChatBody("Hello", ("max_tokens", 2), ("session_id", "talk")));
            Assert.Equal(2, (int)(await silo.Http.SessionAsync("talk"))["turns"]!);
        }

        await using var next = await StartAsync(redis);
        Assert.Equal(2, (int)(await next.Http.SessionAsync("talk"))["turns"]!);
        await next.Http.AskAsync(ResponsesApi.Path, ResponsesApi.Body("And?", ("previous_response_id", response)));
        await next.Http.AskAsync(Api.Chat, Api.ChatBody("Hello", ("max_tokens", 2), ("session_id", "talk")));
        Assert.Equal(3, (int)(await next.Http.SessionAsync("talk"))["turns"]!);
    }

    /// <summary>With Redis gone or silent, answers come as ever; only what is asked of sessions themselves is refused, in time.</summary>
    [RedisFact]
    public async Task RedisFails_AnswersComeAsEver()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var silo = await StartAsync(redis);
        var body = Api.ChatBody("What is the capital of France?", ("temperature", 0), ("session_id", "talk"));
        var before = (await silo.Http.AskAsync(Api.Chat, body))["choices"]!.ToJsonString();
        await silo.Http.SessionAsync("talk");

        redis.Freeze();
        Assert.Equal(before, (await silo.Http.AskAsync(Api.Chat, body))["choices"]!.ToJsonString());
        body["session_id"] = "another";
        Assert.Equal(before, (await silo.Http.AskAsync(Api.Chat, body))["choices"]!.ToJsonString());
        await Poll.UntilAsync(async () => Failed(await silo.Http.GetStringAsync("/metrics")) == 2, "both turns are counted as failed");
        using (var asked = await silo.Http.GetAsync(SessionsApi.PathOf("third")))
            Assert.Equal("storage_unavailable", (string?)(await Api.ErrorAsync(asked, System.Net.HttpStatusCode.ServiceUnavailable))["code"]);

        redis.Thaw();
        body["session_id"] = "talk";
        await Poll.UntilAsync(
            async () =>
            {
                await silo.Http.AskAsync(Api.Chat, body);
                using var asked = await silo.Http.GetAsync(SessionsApi.PathOf("talk"));
                return asked.IsSuccessStatusCode;
            },
            "the session is recorded again");
        Assert.True((int)(await silo.Http.SessionAsync("talk"))["turns"]! >= 2);
    }

    private static Task<RunningSilo> StartAsync(RedisServer redis) => RunningSilo.StartAsync(new()
    {
        ["Granary:Storage:Redis"] = redis.Endpoint,
        ["Granary:Storage:TimeoutMilliseconds"] = "1000",
        ["Logging:LogLevel:Default"] = "Error", // Warnings about Redis are what is wanted here.
    });

    private static int Failed(string metrics) => metrics.Split('\n')
        .Where(line => line.StartsWith("granary_session_turns", StringComparison.Ordinal) && line.Contains("failed", StringComparison.Ordinal))
        .Sum(line => int.Parse(line.Split(' ')[^1], System.Globalization.CultureInfo.InvariantCulture));
}
