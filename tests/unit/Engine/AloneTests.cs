using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Sampling;
using Granary.Engine.Scheduling;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>What may be the cause of a failure shares no step until it has passed that place, and nobody starves for it.</summary>
public sealed class AloneTests
{
    private static EngineRequest Probe => EngineHarness.Request(EngineHarness.RandomPrompt(new(1), 61), maxTokens: 12, seed: 11);

    /// <summary>Its chunks come alone and every second step at most; from its second token on it is as any other.</summary>
    [Fact]
    public void Schedule_SuspectAmongOthers_AlternatesUntilItsFirstTokenAndJoins()
    {
        var scheduler = Create(tokens: 20);
        var others = new[] { Add(scheduler, 5), Add(scheduler, 5) };
        Complete(scheduler, scheduler.Schedule()!);
        var suspect = Add(scheduler, 50, alone: true);

        var steps = Enumerable.Range(0, 8).Select(_ => Run(scheduler)).ToArray();

        Assert.Equal([[suspect], others, [suspect], others, [suspect]], steps[..5]);
        Assert.False(suspect.IsAlone);
        Assert.All(steps[5..], step => Assert.Equal([.. others, suspect], step));
    }

    [Fact]
    public void Schedule_SuspectReplayed_IsAloneUntilATokenBeyondTheReplay()
    {
        var scheduler = Create(tokens: 20);
        var other = Add(scheduler, 5);
        var suspect = Add(scheduler, 50, alone: true, replayed: 10);

        for (var i = 0; i < 5; i++) Assert.Single(Run(scheduler));

        Assert.Equal((11, false), (suspect.GeneratedCount, suspect.IsAlone));
        Assert.Equal([other, suspect], Run(scheduler));
    }

    /// <summary>With steps in flight it waits until there is none, and nothing begins behind it; then the others fill the device once.</summary>
    [Fact]
    public void Schedule_StepsInFlight_NothingElseIsInFlightWithIt()
    {
        var scheduler = Create(depth: 3);
        for (var i = 0; i < 6; i++) Add(scheduler, 5 + i);
        var (first, second) = (scheduler.Schedule()!, scheduler.Schedule()!);
        var suspect = Add(scheduler, 50, alone: true);

        Assert.Null(scheduler.Schedule());
        Complete(scheduler, first);
        Assert.Null(scheduler.Schedule());
        Complete(scheduler, second);
        var alone = scheduler.Schedule()!;
        Assert.Equal([suspect], alone.Planned);
        Assert.Null(scheduler.Schedule());
        Complete(scheduler, alone);
        Assert.Equal(7, Enumerable.Range(0, 3).Sum(_ => scheduler.Schedule()!.Planned.Count));
    }

    /// <summary>A flood of them leaves the others every second step, and comes one after another itself.</summary>
    [Fact]
    public void Schedule_FloodOfSuspects_OthersGetEverySecondStep()
    {
        var scheduler = Create(tokens: 20, running: 4);
        var other = Add(scheduler, 5, limit: 100);
        Run(scheduler);
        var suspects = Enumerable.Range(0, 10).Select(_ => Add(scheduler, 40, alone: true, limit: 1)).ToArray();

        // Their prompts are unlike, so each takes two steps.
        var steps = Enumerable.Range(0, 40).Select(_ => Run(scheduler).Single()).ToArray();

        Assert.All(steps.Where((_, i) => i % 2 == 1), sequence => Assert.Same(other, sequence));
        Assert.Equal(suspects.SelectMany(suspect => new[] { suspect, suspect }), steps.Where((_, i) => i % 2 == 0));
    }

    /// <summary>One that finds no place keeps those behind it waiting, as any other does.</summary>
    [Fact]
    public void Schedule_SuspectFindsNoBlocks_NobodyStartsBehindIt()
    {
        var scheduler = Create(blocks: 8);
        var running = Add(scheduler, 80, limit: 10); // Six blocks, then.
        Run(scheduler);
        var suspect = Add(scheduler, 60, alone: true, limit: 5);
        var newcomer = Add(scheduler, 5, limit: 5);
        while (running.State != SequenceState.Ended)
        {
            Assert.Equal([running], Run(scheduler));
            Assert.False(newcomer.Started);
        }

        Assert.Equal([suspect], Run(scheduler));
        Assert.Equal([suspect, newcomer], Run(scheduler));
    }

    [Fact]
    public void Schedule_SuspectCancelledInItsStep_OthersGoOn()
    {
        var scheduler = Create(tokens: 20);
        var suspect = Add(scheduler, 50, alone: true);
        var step = scheduler.Schedule()!;
        var other = Add(scheduler, 5);
        scheduler.Cancel(suspect, SequenceEnd.Cancelled);
        Complete(scheduler, step);

        Assert.Equal([other], Run(scheduler));
        Assert.Equal([other], Run(scheduler));
    }

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task Generate_SuspectsAmongOthers_EqualsAlone(int depth)
    {
        var random = new Random(2);
        var requests = Enumerable.Range(0, 24)
            .Select(i => EngineHarness.Request(EngineHarness.RandomPrompt(random, random.Next(1, 100)), random.Next(1, 40), 1, (ulong)i) with { Alone = i % 3 == 0 })
            .ToArray();
        await using var engine = InferenceEngine.Start(
            new() { MaxTokensPerStep = 50 }, new SimulatedExecutor(new() { KvBlockCount = 60, StepsInFlight = depth }));

        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < requests.Length; i++) Assert.Equal(await EngineHarness.Alone(requests[i]), EngineHarness.Ids(results[i]));
        Assert.Equal(0, engine.Load.KvBlocksUsed);
    }

    /// <summary>Only what was in the step that failed may be its cause.</summary>
    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task End_Throws_NamesTheSequencesOfItsStep(int depth)
    {
        var poison = Probe with { PromptTokenIds = [77, 77, 77] };
        var executor = new ScriptedExecutor(new SimulatedExecutor(new() { StepsInFlight = depth }))
        {
            BeforeStep = plan =>
            {
                if (plan.TokenIds.AsSpan(0, plan.TokenCount).Contains(77)) throw new InvalidOperationException("A kernel failed.");
            },
        };
        await using var engine = InferenceEngine.Start(new() { MaxRunningSequences = 7 }, executor);
        executor.Hold();
        var before = engine.Submit(Probe with { PromptTokenIds = [1] });
        await executor.StepReached(1).WaitAsync(EngineHarness.Patience);
        var others = Enumerable.Range(0, 5).Select(i => engine.Submit(Probe with { PromptTokenIds = [1 + i, 2] })).ToArray();
        var cause = engine.Submit(poison with { Alone = true });
        var waiting = engine.Submit(Probe);
        executor.Release();

        foreach (var handle in (ISequenceHandle[])[before, .. others, cause, waiting])
        {
            await Assert.ThrowsAsync<StepFailedException>(() => handle.ReadAll());
            Assert.Equal(handle == cause, handle.WasInFailedStep);
        }
    }

    [Theory]
    [InlineData("end")]
    [InlineData("begin")]
    [InlineData("lost")]
    public async Task DeviceFails_StepsInFlight_NamesThoseThatMayBeTheCause(string how)
    {
        var lost = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var executor = new ScriptedExecutor(new SimulatedExecutor(new() { StepsInFlight = 3 })) { Lost = lost.Task };
        var oldest = new List<int>();
        executor.BeforeStep = plan =>
        {
            if (plan.Step != 6) return;
            if (how == "lost") lost.SetException(new StepFailedException("Shard 1.0 is silent."));
            if (how == "begin") return;
            for (var b = 0; b < plan.SequenceCount; b++) oldest.Add(plan.BlockTable[b * plan.BlockTableWidth]);
            throw new StepFailedException("The step failed.");
        };
        executor.BeforeBegin = plan =>
        {
            if (how == "begin" && plan.Step == 6) throw new StepFailedException("A shard is gone.");
        };
        await using var engine = InferenceEngine.Start(new() { MaxRunningSequences = 3 }, executor);
        executor.Hold();
        var handles = Enumerable.Range(0, 4).Select(i => engine.Submit(EngineHarness.Request([1 + i, 2, 3], 90))).ToArray();
        executor.Release();

        foreach (var handle in handles) await Assert.ThrowsAsync<StepFailedException>(() => handle.ReadAll());
        // Three run, each in a step of its own; the fourth waits.
        Assert.Equal(how == "end" ? 1 : 3, handles.Count(handle => handle.WasInFailedStep));
        Assert.False(handles[3].WasInFailedStep);
    }

    [Fact]
    public async Task DisposeAsync_WhileItRuns_NamesNobody()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new()));
        var engine = InferenceEngine.Start(new(), executor);
        executor.Hold();
        var handle = engine.Submit(Probe);
        await executor.StepReached(1).WaitAsync(EngineHarness.Patience);
        var disposal = engine.DisposeAsync().AsTask();
        executor.Release();
        await disposal.WaitAsync(EngineHarness.Patience);

        await Assert.ThrowsAsync<StepFailedException>(() => handle.ReadAll());
        Assert.False(handle.WasInFailedStep);
    }

    private static Scheduler Create(int tokens = 64, int running = 8, int blocks = 64, int depth = 1) => new(
        new(100, 8, 256, blocks, 16, MaxLogitRows: 64, depth), new() { MaxTokensPerStep = tokens, MaxRunningSequences = running });

    private static int _prompts;

    /// <summary>A sequence whose prompt is like no other's.</summary>
    private static Sequence Add(Scheduler scheduler, int prompt, bool alone = false, int replayed = 0, int limit = 50)
    {
        var random = new Random(Interlocked.Increment(ref _prompts));
        var request = EngineHarness.Request(EngineHarness.RandomPrompt(random, prompt, 100), limit) with { Alone = alone, ReplayedTokens = replayed };
        var sequence = new Sequence(request, limit, new(1000));
        scheduler.Add(sequence);
        return sequence;
    }

    private static Sequence[] Run(Scheduler scheduler)
    {
        var step = scheduler.Schedule()!;
        Sequence[] planned = [.. step.Planned];
        Complete(scheduler, step);
        return planned;
    }

    private static void Complete(Scheduler scheduler, ScheduledStep step)
    {
        scheduler.Complete(step, new SampledToken[step.Sampled.Count]);
        scheduler.Outbox.Clear();
    }
}
