using Granary.Grains;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance.Sessions;

/// <summary>What a session keeps cached, and for how long.</summary>
public sealed class SessionPinTests
{
    [Fact]
    public async Task ATurn_KeepsItsHistoryCached_UntilTheSessionIsClosed()
    {
        await using var silo = await RunningSilo.StartAsync(new() { ["Granary:Sessions:PinSeconds"] = "3600" });
        var body = Api.ChatBody("What is the capital of France?", ("temperature", 0), ("session_id", "talk"));

        await silo.Http.AskAsync(Api.Chat, body);
        await Poll.UntilAsync(async () => (int)(await silo.Http.SessionAsync("talk"))["pinned_tokens"]! > 0, "the history is pinned");

        var session = await silo.Http.SessionAsync("talk");
        Assert.InRange((int)session["pinned_tokens"]!, 16, (int)session["history_tokens"]!);
        Assert.True((int)session["pinned_until"]! >= (int)session["used_at"]! + 3600);
        Assert.True(Pinned(silo) > 0);
        Assert.Equal(0, (int)(await silo.Http.ForkAsync("talk", []))["pinned_tokens"]!);

        using var deleted = await silo.Http.DeleteAsync(SessionsApi.PathOf("talk"));
        await Poll.UntilAsync(() => Pinned(silo) == 0, "nothing is pinned");
    }

    private static int Pinned(RunningSilo silo) => silo.Services.GetRequiredService<EngineHost>().Replicas.Sum(replica => replica.Engine.Load.KvBlocksPinned);
}
