using Granary.GrainInterfaces.Routing;

namespace Granary.Tests.Chaos;

#if SIMULATED
/// <summary>What routers foretell of caches stays true whatever happens to routers, replicas and the way between them: 10, 11 and 12 of peers.md, section 4.3.</summary>
[Trait("Category", Chaos.Category)]
public sealed class RouterTests
{
    private const int Prompts = 40;

    /// <summary>Rebuilt within this: design.md says so.</summary>
    private static readonly TimeSpan Rebuilt = TimeSpan.FromSeconds(1);

    /// <summary>10: all routers are lost at once; a second later they foretell what they did before.</summary>
    [SimulatedFact]
    public Task AllRouters_Restarted_ForetellTheSameHits() => Scenario.RunAsync("all routers are lost", async (cluster, random) =>
    {
        var prompts = await WarmAsync(cluster, random);
        var before = await ForetellAsync(cluster, prompts);

        cluster.LoseRouters();
        await ForetellAsync(cluster, prompts); // The first request starts them.
        await cluster.DelayAsync(Rebuilt);
        var after = await ForetellAsync(cluster, prompts);

        Assert.True(before.Sum(ticket => ticket.ExpectedCachedTokens) > Prompts * 64, "Nothing was cached: the scenario shows nothing.");
        var share = (double)after.Sum(ticket => ticket.ExpectedCachedTokens) / before.Sum(ticket => ticket.ExpectedCachedTokens);
        Assert.InRange(share, 0.95, 1.05);
        RequireTrue(cluster, prompts, after);
    });

    /// <summary>11: a replica comes back with an empty cache: no router foretells a hit there.</summary>
    [SimulatedFact]
    public Task Replica_Restarted_HasNoPhantomHits() => Scenario.RunAsync("kill -9 of Silo_1, and its return", async (cluster, random) =>
    {
        var prompts = await WarmAsync(cluster, random);
        Assert.Contains(await ForetellAsync(cluster, prompts), ticket => ticket.Replica.ReplicaId.StartsWith("Silo_1/", StringComparison.Ordinal) && ticket.ExpectedCachedTokens > 0);

        cluster.Crash(1);
        await cluster.HealAsync();
        await cluster.DelayAsync(Rebuilt);

        RequireTrue(cluster, prompts, await ForetellAsync(cluster, prompts));
    });

    /// <summary>12: news of caches are lost and late while caches change; when the way is whole again, what routers foretell is what caches have.</summary>
    [SimulatedFact]
    public Task News_LostAndLate_ConvergeToWhatCachesHave() => Scenario.RunAsync("5 % of all messages are lost for 3 s", async (cluster, random) =>
    {
        var prompts = await WarmAsync(cluster, random);
        cluster.Faults.LoseMessages(0.05, random.Next());
        foreach (var from in cluster.Silos)
        {
            foreach (var to in cluster.Silos.Where(to => to != from)) cluster.Faults.DelayWay(from.Handle, to.Handle, TimeSpan.FromMilliseconds(random.Next(0, 80)));
        }

        for (var turn = 0; turn < 6; turn++)
        {
            // Whatever comes of them: they change what caches have.
            foreach (var request in RequestMix.Draw(random, 20))
            {
                var record = new StreamRecord(request, "outside");
                _ = record.ReadAsync(cluster.Outside, cluster.Time);
            }

            await cluster.DelayAsync(TimeSpan.FromSeconds(0.5));
        }

        await cluster.HealAsync();
        await Leaks.RequireNoneAsync(cluster);
        await cluster.DelayAsync(Rebuilt * 3);

        RequireTrue(cluster, prompts, await ForetellAsync(cluster, prompts));
    });

    /// <summary>Prompts of many lengths, answered once, so that caches have them.</summary>
    private static async Task<List<int[]>> WarmAsync(ChaosCluster cluster, Random random)
    {
        var requests = RequestMix.Draw(random, Prompts, leastTokens: 8, mostTokens: 12);
        for (var n = 0; n < requests.Count; n++)
            requests[n] = requests[n] with { PromptTokenIds = RequestMix.Ids(random, random.Next(100, 300)), CacheSalt = null, Group = null, Choice = 0, RequestId = $"warm {n}" };
        var run = await LoadRun.StartAsync(cluster, random, requests.Count, requests: requests);
        await run.Completed;
        run.RequireExact();
        await cluster.DelayAsync(Rebuilt);
        return [.. requests.Select(request => request.PromptTokenIds)];
    }

    /// <summary>Where the routers would send the prompts now, each prompt by another router.</summary>
    private static async Task<List<Ticket>> ForetellAsync(ChaosCluster cluster, List<int[]> prompts)
    {
        var (tickets, routers) = (new List<Ticket>(), cluster.RouterKeys.ToList());
        for (var n = 0; n < prompts.Count; n++)
        {
            var router = cluster.Grains.GetGrain<IRouterGrain>(routers[n % routers.Count]);
            var blocks = PromptBlocks.Of(prompts[n]);
            var ticket = await router.RouteAsync(new RouteRequest
            {
                RequestId = $"prompt {n}",
                PromptTokens = prompts[n].Length,
                MaxTokens = 1,
                PrefixHash = PrefixHash.Of(prompts[n]),
                Blocks = blocks,
                Fingerprint = PromptBlocks.Fingerprint(prompts[n], blocks),
            });
            tickets.Add(ticket);
            await router.ReleaseAsync(ticket.BookingId);
        }

        return tickets;
    }

    /// <summary>Compares with what the engines themselves say that they hold.</summary>
    private static void RequireTrue(ChaosCluster cluster, List<int[]> prompts, List<Ticket> tickets)
    {
        var held = cluster.Models.Engines.ToDictionary(engine => engine.Key, engine => engine.Value.ReadKvEvents(0).Blocks.ToHashSet());
        for (var n = 0; n < prompts.Count; n++)
        {
            var there = PromptBlocks.Of(prompts[n]).TakeWhile(held[tickets[n].Replica.ReplicaId].Contains).Count() * PromptBlocks.DefaultTokens;
            Assert.True(
                tickets[n].ExpectedCachedTokens == there,
                $"Router {cluster.RouterKeys.ElementAt(n % cluster.RouterKeys.Count())} foretells {tickets[n].ExpectedCachedTokens} cached tokens of prompt {n} at {tickets[n].Replica.ReplicaId}, which has {there}.");
        }
    }
}
#endif
