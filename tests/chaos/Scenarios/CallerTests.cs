using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;

namespace Granary.Tests.Chaos;

/// <summary>Callers that ask too much, leave, or do not read: 18, 21 and 22 of peers.md, section 4.3.</summary>
[Trait("Category", Chaos.Category)]
public sealed class CallerTests
{
    /// <summary>18: far more than there is room for: what is refused is refused with a typed error, and afterwards all is as before.</summary>
    [SimulatedFact]
    public Task Burst_BeyondAllQueues_IsRefusedInOrderAndForgotten() => Scenario.RunAsync(
        "600 requests at once",
        async (cluster, random) =>
        {
            var burst = await LoadRun.StartAsync(cluster, random, sequences: 600, spread: TimeSpan.FromMilliseconds(20));
            await burst.Completed;
            Assert.All(burst.Records.Where(record => record.Error is not null), record => Assert.True(
                record.Error is ReplicaSaturatedException or ModelNotReadyException && record.Chunks.Count == 0, $"{record.Request.RequestId}: {record.Error}"));
            burst.RequireExact(except: record => record.Error is not null);

            var normal = await LoadRun.StartAsync(cluster, random, sequences: 16);
            await normal.FinishAsync();
        },
        new() { Engine = new() { MaxQueuedSequences = 16, MaxRunningSequences = 16 } });

    /// <summary>21: who does not read holds a bounded number of tokens, and hinders nobody.</summary>
    [SimulatedFact]
    public Task StuckReader_HoldsLittle_AndGetsTheRestWhenItReadsOn() => Scenario.RunAsync(
        "a reader that pauses for a minute",
        async (cluster, random) =>
        {
            var request = RequestMix.Draw(random, 1)[0] with { Sampling = new SamplingOptions { MaxTokens = 900, Seed = 3 }, PromptTokenIds = [1, 2, 3] };
            var right = await cluster.Unfailed.AnswerAsync(request);
            var record = new StreamRecord(request, "outside");
            long steps = 0;
            await record.ReadAsync(cluster.Outside, cluster.Time, async chunk =>
            {
                if (chunk.Index != 5) return;
                await cluster.DelayAsync(TimeSpan.FromMinutes(1));
                steps = cluster.Models.Engines.Values.Max(engine => engine.Load.Steps);
            });

            Assert.Null(Exactness.Difference(record, right));
            Assert.True(steps < 500, $"The engine made {steps} steps for a reader that had taken 5 tokens.");
            await Leaks.RequireNoneAsync(cluster);
        },
        new() { Silos = 1, Engine = new() { MaxBufferedTokens = 64 } });

    /// <summary>22: callers leave at any moment, from before the ticket to the last token; nothing of them is left.</summary>
    [SimulatedFact]
    public Task Cancel_InAnyPhase_FreesEverything() => Scenario.RunAsync(
        "128 callers that leave",
        async (cluster, random) =>
        {
            var requests = RequestMix.Draw(random, 128);
            await Task.WhenAll(requests.Select(async (request, n) =>
            {
                using var leave = new CancellationTokenSource(TimeSpan.FromMilliseconds(random.Next(0, 700)), cluster.Time);
                var client = n % 2 == 0 ? cluster.Outside : cluster.Silos[n % cluster.Silos.Count].Generation;
                var record = new StreamRecord(request, "a caller that leaves");
                await record.ReadAsync(client, cluster.Time, cancellationToken: leave.Token);
                Assert.True(record.Error is null or OperationCanceledException, record.Error?.ToString());
            }));
            await Leaks.RequireNoneAsync(cluster, TimeSpan.FromSeconds(2));

            var others = await LoadRun.StartAsync(cluster, random, sequences: 16);
            await others.FinishAsync();
        },
        new() { Silos = 2 });

    /// <summary>22: they leave while the replica that they read from is lost.</summary>
    [SimulatedFact]
    public Task Cancel_WhileAReplicaIsLost_FreesEverything() => Scenario.RunAsync("64 callers that leave around a kill -9", async (cluster, random) =>
    {
        var requests = RequestMix.Draw(random, 64, leastTokens: 90);
        var reads = requests.Select(async request =>
        {
            using var leave = new CancellationTokenSource(TimeSpan.FromMilliseconds(random.Next(300, 2000)), cluster.Time);
            var record = new StreamRecord(request, "outside");
            await record.ReadAsync(cluster.Outside, cluster.Time, cancellationToken: leave.Token);
            Assert.True(record.Error is null or OperationCanceledException, record.Error?.ToString());
        }).ToList();
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.4));
        cluster.Crash(1);
        await Task.WhenAll(reads);
        await cluster.HealAsync();
        await Leaks.RequireNoneAsync(cluster);
    });
}
