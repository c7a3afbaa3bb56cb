using Granary.Engine.Execution;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;

namespace Granary.Tests.Chaos;

/// <summary>Something is wrong within one process: a request that ends engines, a clock that jumps, a pause. 23 and 25 of peers.md, section 4.3.</summary>
[Trait("Category", Chaos.Category)]
public sealed class ProcessTests
{
    private static readonly int[] Poison = [251, 252, 253, 254, 255, 250, 249];

    /// <summary>23: a request that ends every engine which computes it is found out, and all others survive unchanged.</summary>
    [SimulatedFact]
    public Task PoisonRequest_IsQuarantined_AndTheOthersSurvive() => Scenario.RunAsync("a request that ends engines", async (cluster, random) =>
    {
        var victims = 0;
        cluster.Models.Wrap = (_, executor) => new PoisonedExecutor(executor, () => Interlocked.Increment(ref victims));
        for (var n = 0; n < cluster.Silos.Count; n++) // Engines are wrapped as they are made.
        {
            await cluster.StopAsync(n);
            await cluster.RestartAsync(n);
        }

        await cluster.HealAsync();
        var run = await LoadRun.StartAsync(cluster, random, sequences: 32, spread: TimeSpan.FromMilliseconds(100));
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.2));
        var poison = new GenerateRequest
        {
            RequestId = "poison",
            Model = ChaosCluster.Model,
            PromptTokenIds = [1, 2, 3, .. Poison],
            Sampling = new() { MaxTokens = 10, Seed = 1 },
        };
        var first = new StreamRecord(poison, "outside");
        await first.ReadAsync(cluster.Outside, cluster.Time);
        await run.FinishAsync();

        Assert.IsType<RequestQuarantinedException>(first.Error);
        Assert.Equal(2, victims);
        foreach (var silo in cluster.Silos)
        {
            var again = new StreamRecord(poison with { RequestId = $"again by {silo.Name}" }, silo.Name);
            await again.ReadAsync(silo.Generation, cluster.Time);
            Assert.IsType<RequestQuarantinedException>(again.Error);
        }

        Assert.Equal(2, victims);
    });

    /// <summary>25: a wall clock is set back and forth by an hour, and a process pauses as for a garbage collection: no lease ends, no stream moves.</summary>
    [SimulatedFact]
    public Task Clock_ThatJumps_AndPauses_MoveNothing() => Scenario.RunAsync("the clock of Silo_1 jumps, Silo_2 pauses for 400 ms", async (cluster, random) =>
    {
        using var continuations = new Continuations();
        var load = new SteadyLoad(cluster, random, callers: 8, n => n % 2 == 0 ? cluster.Outside : cluster.Silos[n / 2].Generation);
        foreach (var hours in new[] { 1, -1, 24, 0 })
        {
            await cluster.DelayAsync(TimeSpan.FromSeconds(2));
            cluster.Silos[1].Clock.Error = TimeSpan.FromHours(hours);
            await cluster.DelayAsync(TimeSpan.FromSeconds(2));
            cluster.Freeze(2);
            await cluster.DelayAsync(TimeSpan.FromMilliseconds(400));
            cluster.Thaw(2);
        }

        await load.StopAsync();
        await Leaks.RequireNoneAsync(cluster);
        Assert.Equal(0, continuations.Losses);
    });

    /// <summary>Fails each step that computes the poison.</summary>
    private sealed class PoisonedExecutor(IStepExecutor inner, Action ended) : IStepExecutor
    {
        private readonly Queue<bool> _begun = new();

        public ExecutorShape Shape => inner.Shape;

        public Task? Lost => inner.Lost;

        public void Begin(StepPlan plan)
        {
            _begun.Enqueue(plan.TokenIds.AsSpan(0, plan.TokenCount).IndexOf(Poison) >= 0);
            inner.Begin(plan);
        }

        public StepOutput End()
        {
            var output = inner.End();
            if (!_begun.Dequeue()) return output;
            ended();
            throw new StepFailedException("The device has failed.");
        }

        public void Dispose() => inner.Dispose();
    }
}
