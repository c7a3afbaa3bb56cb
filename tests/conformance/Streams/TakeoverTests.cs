using System.Net;
using System.Text.Json.Nodes;
using Granary.Client;
using Granary.Silo.Serving;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance.Streams;

/// <summary>Who may go on with a stream, from where, and what becomes of whoever had it.</summary>
public sealed class TakeoverTests
{
    private const string Key = "sk-one-0123456789";
    private const string OtherKey = "sk-two-0123456789";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>The first gateway has not noticed that its client is gone: it ends its generation at its next batch.</summary>
    [Fact]
    public async Task TakenOver_TheOneBeforeEndsItsGeneration_AndItsConnection()
    {
        var client = new ScriptedClient();
        await using var silo = await StartAsync(client);
        var script = Say(silo, client);
        var (release, ended) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        CancellationToken? old = null;
        script.Before = async (place, token) =>
        {
            if (place < 3) return;
            old ??= token;
            if (place == 3) await release.Task;
            if (token != old) return;
            // Its own end may not come before the word that another has the stream.
            await Task.Delay(Patience, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (token.IsCancellationRequested) ended.TrySetResult();
            token.ThrowIfCancellationRequested();
        };
        await using var first = await EventStream.OpenAsync(silo.Http, Api.Chat, Body(), key: Key);
        var had = await first.ReadAsync(4);
        var opening = EventStream.OpenAsync(silo.Http, Api.Chat, Body(), had[^1].Id, Key);
        await Poll.UntilAsync(() => script.Requests == 2, "the stream is taken over");
        release.SetResult();
        await using var second = await opening;

        var rest = await second.ReadRestAsync();
        var broken = await Record.ExceptionAsync(() => first.ReadRestAsync());

        Assert.True(rest[^1].IsEnd);
        Assert.NotNull(broken);
        await ended.Task.WaitAsync(Patience);
    }

    [Fact]
    public async Task ClientLeaves_TheGenerationIsCancelled_AndTheStreamCanBeGoneOnWith()
    {
        var client = new ScriptedClient();
        await using var silo = await StartAsync(client);
        var script = Say(silo, client);
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        script.Before = async (place, token) =>
        {
            if (place < 3) return;
            await using var _ = token.Register(() => cancelled.TrySetResult());
            await Task.Delay(Timeout.Infinite, token);
        };
        string id;
        await using (var first = await EventStream.OpenAsync(silo.Http, Api.Chat, Body(), key: Key)) id = (await first.ReadAsync(4))[^1].Id!;
        await cancelled.Task.WaitAsync(Patience);
        script.Before = null;

        await using var second = await EventStream.OpenAsync(silo.Http, Api.Chat, Body(), id, Key);

        Assert.True((await second.ReadRestAsync())[^1].IsEnd);
    }

    [Fact]
    public async Task Refusals_AreTyped()
    {
        var client = new ScriptedClient();
        await using var silo = await StartAsync(client);
        Say(silo, client);
        await using var stream = await EventStream.OpenAsync(silo.Http, Api.Chat, Body(), key: Key);
        var events = await stream.ReadRestAsync();
        var (last, id) = (events[^1].Id!, events[^1].Id!.Split('/')[0]);

        await RefusedAsync(HttpStatusCode.NotFound, "stream_not_found", last, OtherKey);
        await RefusedAsync(HttpStatusCode.NotFound, "stream_not_found", $"chatcmpl-{Guid.NewGuid():N}/1");
        await RefusedAsync(HttpStatusCode.NotFound, "stream_not_found", last, path: Api.Completions);
        foreach (var wrong in (string[])["x", id, $"{id}/x", $"{id}/-1", $"{id}/1x", $"{id}/1/x", $"{id}/1/u/d", $"none/{id}/1", "chatcmpl-1/1", $"{id}/99999999999", $"{id}/{new string(',', 2000)}"])
            await RefusedAsync(HttpStatusCode.BadRequest, "invalid_value", wrong);
        Assert.Contains("2 positions", await RefusedAsync(HttpStatusCode.BadRequest, "invalid_value", $"{id}/1,2"), StringComparison.Ordinal);
        var beyond = await RefusedAsync(HttpStatusCode.BadRequest, "invalid_value", $"{id}/500");
        Assert.Contains("500", beyond, StringComparison.Ordinal);
        Assert.Contains($"ends at {last.Split('/')[1]}", beyond, StringComparison.Ordinal);
        using (var get = await EventStream.SendAsync(silo.Http, $"/v1/streams/{id}", null, $"chatcmpl-{Guid.NewGuid():N}/1", Key))
            await Api.ErrorAsync(get, HttpStatusCode.BadRequest);
        using (var get = await EventStream.SendAsync(silo.Http, "/v1/streams/none", null, key: Key))
            await Api.ErrorAsync(get, HttpStatusCode.NotFound);

        async Task<string> RefusedAsync(HttpStatusCode status, string code, string from, string key = Key, string path = Api.Chat)
        {
            using var response = await EventStream.SendAsync(silo.Http, path, Body(), from, key);
            var error = await Api.ErrorAsync(response, status);
            Assert.Equal(code, (string?)error["code"]);
            if (status == HttpStatusCode.BadRequest) Assert.Equal("Last-Event-ID", (string?)error["param"]);
            return (string)error["message"]!;
        }
    }

    /// <summary>A request that has no journal is answered as ever, and without ids that would lead nowhere.</summary>
    [Fact]
    public async Task NotResumable_HasNoIds()
    {
        var client = new ScriptedClient();
        await using var silo = await StartAsync(client, ("Granary:Streams:MaxBytes", "2048"));
        Say(silo, client);
        var large = Body();
        large["user"] = new string('x', 1500);

        await using var stream = await EventStream.OpenAsync(silo.Http, Api.Chat, large, key: Key);
        Assert.All(await stream.ReadRestAsync(), entry => Assert.Null(entry.Id));
        await using var small = await EventStream.OpenAsync(silo.Http, Api.Chat, Body(), key: Key);
        Assert.All(await small.ReadRestAsync(), entry => Assert.NotNull(entry.Id));
    }

    /// <summary>Ids go to who reads the stream by its own rules; others get what they always got, and can have the whole stream again.</summary>
    [Fact]
    public async Task WithoutAccept_HasNoIds_AndCanBeHadAgain()
    {
        var client = new ScriptedClient();
        await using var silo = await StartAsync(client);
        Say(silo, client);
        silo.Http.DefaultRequestHeaders.Add("Authorization", $"Bearer {Key}");

        var frames = await silo.Http.StreamAsync(Api.Chat, Body());
        var again = await EventStream.ReadAllAsync(silo.Http, $"/v1/streams/{(string)frames[0]["id"]!}", null);

        Assert.Equal(frames.Select(frame => frame.ToJsonString()), again.SkipLast(1).Select(entry => entry.ToJson().ToJsonString()));
    }

    [Fact]
    public async Task SwitchedOff_NothingIsKept()
    {
        var client = new ScriptedClient();
        await using var silo = await StartAsync(client, ("Granary:Streams:Resumable", "false"));
        Say(silo, client);
        await using var stream = await EventStream.OpenAsync(silo.Http, Api.Chat, Body(), key: Key);

        var events = await stream.ReadRestAsync();
        using var again = await EventStream.SendAsync(silo.Http, $"/v1/streams/{(string)events[0].ToJson()["id"]!}", null, key: Key);

        Assert.All(events, entry => Assert.Null(entry.Id));
        await Api.ErrorAsync(again, HttpStatusCode.NotFound);
    }

    private static JsonObject Body() => Api.ChatBody("Hi", ("stream", true), ("max_tokens", 200));

    private static ReplayingScript Say(RunningSilo silo, ScriptedClient client)
    {
        var script = new ReplayingScript(silo.Services.GetRequiredService<ModelCatalog>().FindOpen(Api.Model)!, string.Concat(Enumerable.Repeat("one two three ", 30)));
        client.Script = script.GenerateAsync;
        return script;
    }

    private static Task<RunningSilo> StartAsync(ScriptedClient client, params (string Name, string Value)[] settings)
    {
        var all = new Dictionary<string, string?> { ["Granary:Gateway:ApiKeys:0"] = Key, ["Granary:Gateway:ApiKeys:1"] = OtherKey };
        foreach (var (name, value) in settings) all[name] = value;
        return RunningSilo.StartAsync(all, services => services.AddSingleton<IGenerationClient>(client));
    }
}
