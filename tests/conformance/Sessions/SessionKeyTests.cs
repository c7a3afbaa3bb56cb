using System.Net.Http.Headers;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Sessions;

/// <summary>A session is seen by the key that it was made with, and by no other.</summary>
public sealed class SessionKeyTests
{
    private static readonly string[] Keys = ["sk-first-0123456789", "sk-second-0123456789"];

    [Fact]
    public async Task SessionsOfOneId_OfTwoKeys_AreTwo()
    {
        await using var silo = await RunningSilo.StartAsync(new() { ["Granary:Gateway:ApiKeys:0"] = Keys[0], ["Granary:Gateway:ApiKeys:1"] = Keys[1] });

        for (var turn = 0; turn < 2; turn++) await AsKey(0).AskAsync(Api.Chat, Api.ChatBody("Hello", ("max_tokens", 2), ("session_id", "talk")));
        await AsKey(1).RequireMissingAsync("talk");
        await AsKey(1).AskAsync(Api.Chat, Api.ChatBody("Hello", ("max_tokens", 2), ("session_id", "talk")));

        Assert.Equal(1, (int)(await AsKey(1).SessionAsync("talk"))["turns"]!);
        Assert.Equal(2, (int)(await AsKey(0).SessionAsync("talk"))["turns"]!);
        using var deleted = await AsKey(1).DeleteAsync(SessionsApi.PathOf("talk"));
        Assert.Equal(2, (int)(await AsKey(0).SessionAsync("talk"))["turns"]!);

        HttpClient AsKey(int key)
        {
            silo.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Keys[key]);
            return silo.Http;
        }
    }
}
