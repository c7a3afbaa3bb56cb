using System.Net;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>Many requests: none changes another, and none leaves anything behind.</summary>
[Collection(SiloTests.Name)]
public sealed class LoadTests(SiloFixture fixture)
{
    private readonly HttpClient _http = fixture.Http;

    [Fact]
    public async Task ThirtyTwoStreams_EqualTheirSoloRuns()
    {
        var bodies = Enumerable.Range(0, 32).Select(i => Api.ChatBody(
            string.Join(' ', Enumerable.Repeat($"Item {i} of the list.", 1 + i % 7 * 4)),
            ("max_tokens", 8 + i * 3), ("ignore_eos", true), ("seed", i), ("temperature", i % 2 == 0 ? 0 : 2.0))).ToArray();
        var solo = new string[bodies.Length];
        for (var i = 0; i < bodies.Length; i++) solo[i] = Api.ChatText(await _http.StreamAsync(Api.Chat, bodies[i]));

        var together = await Task.WhenAll(bodies.Select(async body => Api.ChatText(await _http.StreamAsync(Api.Chat, body))));

        Assert.Equal(solo, together);
        Assert.True(solo.Distinct().Count() > 12, "the requests differ, and so do their texts");
        await fixture.Silo.WaitUntilIdleAsync();
    }

    [Fact]
    public async Task ClientLeaves_SequenceEndsAndBlocksAreFree()
    {
        await fixture.Silo.WaitUntilIdleAsync();
        using (var response = await _http.SendAsync(Api.Chat, Api.ChatBody("Count.", ("stream", true), ("ignore_eos", true), ("n", 8))))
        {
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            await using var stream = await response.Content.ReadAsStreamAsync();
            Assert.True(await stream.ReadAsync(new byte[16]) > 0);
            Assert.True(fixture.Silo.KvBlocksUsed > 0);
        }

        await fixture.Silo.WaitUntilIdleAsync();
    }

    [Fact]
    public async Task ClientCancelsAWholeAnswer_SequenceEndsAndBlocksAreFree()
    {
        await fixture.Silo.WaitUntilIdleAsync();
        using var leave = new CancellationTokenSource();
        var asked = _http.SendAsync(Api.Chat, Api.ChatBody("Count.", ("ignore_eos", true), ("n", 8)), leave.Token);
        await Poll.UntilAsync(() => fixture.Silo.KvBlocksUsed > 0 || asked.IsCompleted, "the request runs");
        await leave.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asked);
        await fixture.Silo.WaitUntilIdleAsync();
    }

    /// <summary>The KV pool is as it began, and memory does not grow with the number of requests.</summary>
    [Fact]
    public async Task TwoHundredRequests_LeaveNothingBehind()
    {
        await AskAsync(50);
        await fixture.Silo.WaitUntilIdleAsync();
        var (heap, resident) = (Heap(), Environment.WorkingSet);

        await AskAsync(200);

        await fixture.Silo.WaitUntilIdleAsync();
        var (heapGrowth, residentGrowth) = (Heap() - heap, Environment.WorkingSet - resident);
        // A leaked kilobyte a token would be 4 MB; what grows otherwise is code that is compiled again.
        Assert.True(heapGrowth < 3 << 20, $"The managed heap grew by {heapGrowth} bytes.");
        Assert.True(residentGrowth < 48 << 20, $"Resident memory grew by {residentGrowth} bytes.");

        async Task AskAsync(int count)
        {
            for (var i = 0; i < count; i++)
            {
                var body = Api.ChatBody($"Question {i % 10}.", ("max_tokens", 20), ("ignore_eos", true));
                if (i % 2 == 0)
                    await _http.AskAsync(Api.Chat, body);
                else
                    await _http.StreamAsync(Api.Chat, body);
            }
        }

        static long Heap()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return GC.GetTotalMemory(forceFullCollection: true);
        }
    }
}
