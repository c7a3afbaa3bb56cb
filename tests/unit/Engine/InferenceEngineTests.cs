using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

public sealed class InferenceEngineTests
{
    private static readonly int[] Prompt = [1, 2, 3];

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task Dispose_HandleOfRunningSequence_FreesItsBlocks(int depth)
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { ContextLength = 1 << 20, KvBlockCount = 4096, StepsInFlight = depth }));
        var handle = engine.Submit(EngineHarness.Request(Prompt, 60_000));
        await handle.WaitToReadAsync();
        Assert.Equal(1, engine.Load.RunningSequences);

        await handle.DisposeAsync().AsTask().WaitAsync(EngineHarness.Patience);

        Assert.Equal((0, 0, 0), (engine.Load.RunningSequences, engine.Load.WaitingSequences, engine.Load.KvBlocksUsed));
        Assert.Equal(SequenceEnd.Cancelled, (await handle.ReadAll())[^1].End);
    }

    [Fact]
    public async Task Dispose_HandleOfQueuedSequence_GivesItsPlaceBack()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new()));
        await using var engine = InferenceEngine.Start(new() { MaxQueuedSequences = 1, MaxRunningSequences = 1 }, executor);
        executor.Hold();
        var running = engine.Submit(EngineHarness.Request(Prompt, 50));
        await executor.StepReached(1).WaitAsync(EngineHarness.Patience);
        var queued = engine.Submit(EngineHarness.Request(Prompt, 1));
        Assert.Null(engine.TrySubmit(EngineHarness.Request(Prompt, 1), out var refusal));
        Assert.Equal(RefusalReason.Saturated, refusal!.Reason);

        var disposal = queued.DisposeAsync().AsTask();
        Assert.False(disposal.IsCompleted); // Blocks are freed between steps only.
        executor.Release();
        await disposal.WaitAsync(EngineHarness.Patience);

        Assert.Single(await engine.Submit(EngineHarness.Request(Prompt, 1)).ReadAll());
        Assert.Equal(50, (await running.ReadAll()).Count);
    }

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task ReadAll_SlowReader_LosesNothingAndHoldsUpNobody(int depth)
    {
        await using var engine = InferenceEngine.Start(new() { MaxBufferedTokens = 8 }, new SimulatedExecutor(new() { StepsInFlight = depth }));
        var request = EngineHarness.Request(Prompt, 100);
        var slow = engine.Submit(request);
        await slow.WaitToReadAsync();

        var quick = await engine.Submit(request with { Choice = 1 }).ReadAll();
        Assert.Equal(100, quick.Count);

        Assert.Equal(108, engine.Load.GenerationTokens); // 8 of the slow one's, in a hundred steps.

        var tokens = await slow.ReadAll();
        Assert.Equal(await EngineHarness.Alone(request), EngineHarness.Ids(tokens));
        Assert.Equal(Enumerable.Range(0, 100), tokens.Select(token => token.Index));
    }

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task Deadline_WhileReaderIsAway_EndsTheIdleSequence(int depth)
    {
        var clock = new ManualTime();
        await using var engine = InferenceEngine.Start(new() { MaxBufferedTokens = 2 }, new SimulatedExecutor(new() { StepsInFlight = depth }), clock);
        var handle = engine.Submit(EngineHarness.Request(Prompt, 100) with { Deadline = clock.GetUtcNow().AddSeconds(5) });
        var other = engine.Submit(EngineHarness.Request(Prompt, 2));
        await other.ReadAll();

        clock.Advance(TimeSpan.FromSeconds(5));

        // Reads nothing before its end came, so it is paused all the time.
        await Released(handle);
        var tokens = await handle.ReadAll();
        Assert.Equal(new GeneratedToken(2, -1, 0, SequenceEnd.Deadline), tokens[^1]);
        Assert.Equal(0, engine.Load.KvBlocksUsed);
        Assert.Equal(0, clock.ActiveTimers);
    }

    [Fact]
    public async Task Deadline_PassedAtSubmission_EndsWithoutAStep()
    {
        var clock = new ManualTime();
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()), clock);

        var tokens = await engine.Submit(EngineHarness.Request(Prompt, 9) with { Deadline = clock.GetUtcNow() }).ReadAll();

        Assert.Equal([new GeneratedToken(0, -1, 0, SequenceEnd.Deadline)], tokens);
        Assert.Equal(0, engine.Load.Steps);
    }

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task Execute_Throws_FaultsEverySequenceAndTheEngine(int depth)
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new() { StepsInFlight = depth }))
        {
            BeforeStep = plan =>
            {
                if (plan.Step == 5) throw new InvalidOperationException("The device is gone.");
            },
        };
        await using var engine = InferenceEngine.Start(new() { MaxRunningSequences = 2 }, executor);
        executor.Hold();
        var handles = Enumerable.Range(0, 4).Select(i => engine.Submit(EngineHarness.Request(Prompt, 90))).ToArray();
        executor.Release();

        foreach (var handle in handles)
        {
            var error = await Assert.ThrowsAsync<StepFailedException>(() => handle.ReadAll());
            Assert.Contains("The device is gone.", error.InnerException!.Message);
            await handle.DisposeAsync().AsTask().WaitAsync(EngineHarness.Patience);
        }

        await Assert.ThrowsAsync<StepFailedException>(() => engine.Completion.WaitAsync(EngineHarness.Patience));
        Assert.Null(engine.TrySubmit(EngineHarness.Request(Prompt, 1), out var refusal));
        Assert.Equal(RefusalReason.Stopped, refusal!.Reason);
        Assert.True(executor.IsDisposed);
        Assert.Equal((0, 0, 0), (engine.Load.RunningSequences, engine.Load.WaitingSequences, engine.Load.KvBlocksUsed));
    }

    [Fact]
    public async Task Begin_ThrowsWithStepsInFlight_FaultsAllOfThem()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new() { StepsInFlight = 3 }))
        {
            BeforeBegin = plan =>
            {
                if (plan.Step == 6) throw new StepFailedException("A shard is gone.");
            },
        };
        await using var engine = InferenceEngine.Start(new(), executor);
        executor.Hold();
        var handles = Enumerable.Range(0, 6).Select(i => engine.Submit(EngineHarness.Request(Prompt, 90))).ToArray();
        executor.Release();

        foreach (var handle in handles)
        {
            var error = await Assert.ThrowsAsync<StepFailedException>(() => handle.ReadAll());
            Assert.Equal("A shard is gone.", error.Message);
        }

        await Assert.ThrowsAsync<StepFailedException>(() => engine.Completion.WaitAsync(EngineHarness.Patience));
        Assert.True(executor.IsDisposed);
        Assert.Equal((0, 0, 0), (engine.Load.RunningSequences, engine.Load.WaitingSequences, engine.Load.KvBlocksUsed));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Lost_WhileNothingRuns_EndsTheEngine(bool faulted)
    {
        var lost = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var executor = new ScriptedExecutor(new SimulatedExecutor(new())) { Lost = lost.Task };
        await using var engine = InferenceEngine.Start(new() { MaxBufferedTokens = 2 }, executor);
        var paused = engine.Submit(EngineHarness.Request(Prompt, 10));
        await engine.Submit(EngineHarness.Request(Prompt, 2)).ReadAll();
        Assert.False(engine.Completion.IsCompleted);

        if (faulted) lost.SetException(new StepFailedException("Shard 1.0 is silent."));
        else lost.SetResult();

        var error = await Assert.ThrowsAsync<StepFailedException>(() => engine.Completion.WaitAsync(EngineHarness.Patience));
        Assert.Equal(faulted ? "Shard 1.0 is silent." : "The device was lost.", error.Message);
        Assert.Equal(error.Message, (await Assert.ThrowsAsync<StepFailedException>(() => paused.ReadAll())).Message);
        Assert.True(executor.IsDisposed);
    }

    [Fact]
    public async Task DisposeAsync_StepsInFlight_EndsThemInOrderFirst()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new() { StepsInFlight = 3 }));
        var (begun, ended) = (new List<long>(), new List<long>());
        executor.BeforeBegin = plan => begun.Add(plan.Step);
        executor.BeforeStep = plan => ended.Add(plan.Step);
        executor.Hold();
        var engine = InferenceEngine.Start(new(), executor);
        var handles = Enumerable.Range(0, 3).Select(_ => engine.Submit(EngineHarness.Request(Prompt, 500))).ToArray();
        executor.Allow(1); // The first may have begun before the others came.
        await executor.StepReached(3).WaitAsync(EngineHarness.Patience);

        var disposal = engine.DisposeAsync().AsTask();
        executor.Release();
        await disposal.WaitAsync(EngineHarness.Patience);

        foreach (var handle in handles) await Assert.ThrowsAsync<StepFailedException>(() => handle.ReadAll());
        await engine.Completion;
        Assert.InRange(ended.Count, 3, 4);
        Assert.Equal(begun, ended);
    }

    /// <summary>Sequences spread over the steps in flight, evenly, and join no two of them.</summary>
    [Theory, MemberData(nameof(EngineHarness.DepthsWith), new[] { 1, 2, 5, 8, 11 }, MemberType = typeof(EngineHarness))]
    public async Task Generate_ManySequences_SpreadOverTheStepsInFlight(int depth, int count)
    {
        var executor = new RecordingExecutor(new SimulatedExecutor(new() { StepsInFlight = depth }));
        var held = new ScriptedExecutor(executor);
        var widths = new List<int>();
        held.BeforeStep = plan => widths.Add(plan.SequenceCount);
        held.Hold();
        await using var engine = InferenceEngine.Start(new(), held);
        var handles = Enumerable.Range(0, count).Select(i => engine.Submit(EngineHarness.Request([1 + i, 2, 3], 40))).ToArray();
        held.Release();

        foreach (var handle in handles) Assert.Equal(40, (await handle.ReadAll()).Count);

        var least = depth == 1 ? count : 1;
        // Once all have arrived, and until the first ends.
        Assert.All(widths.Skip(3 * depth).Take(20), width => Assert.InRange(width, least, (count + depth - 1) / depth));
    }

    [Fact]
    public async Task Execute_GivesNaN_FaultsInsteadOfAToken()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new())) { AfterStep = (_, output) => output.Logits(0)[100] = float.NaN };
        await using var engine = InferenceEngine.Start(new(), executor);
        var error = await Assert.ThrowsAsync<StepFailedException>(() => engine.Submit(EngineHarness.Request(Prompt, 9, temperature: 0)).ReadAll());
        Assert.Contains("row 0", error.Message);
    }

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task DisposeAsync_WhileSequencesRunAndWait_FailsThemAndEnds(int depth)
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new() { StepsInFlight = depth }));
        var engine = InferenceEngine.Start(new() { MaxRunningSequences = 1 }, executor);
        executor.Hold();
        var running = engine.Submit(EngineHarness.Request(Prompt, 500));
        await executor.StepReached(1).WaitAsync(EngineHarness.Patience);
        var waiting = engine.Submit(EngineHarness.Request(Prompt, 500));

        var disposal = engine.DisposeAsync().AsTask();
        executor.Release();
        await disposal.WaitAsync(EngineHarness.Patience);

        await Assert.ThrowsAsync<StepFailedException>(() => running.ReadAll());
        await Assert.ThrowsAsync<StepFailedException>(() => waiting.ReadAll());
        await engine.Completion;
        Assert.True(executor.IsDisposed);
        await engine.DisposeAsync();
    }

    [Fact]
    public async Task Load_StepUnderWay_CountsThoseThatHaveEnded()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new()));
        await using var engine = InferenceEngine.Start(new(), executor);
        executor.Hold();
        var reading = engine.Submit(EngineHarness.Request(Prompt, 3)).ReadAll();
        await executor.StepReached(1).WaitAsync(EngineHarness.Patience);

        Assert.Equal((1, 0), (engine.Load.RunningSequences, engine.Load.Steps));
        executor.Release();

        await reading;
        Assert.Equal(3, engine.Load.Steps);
    }

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task Idle_AfterWork_ThreadBlocksAndStepsStandStill(int depth)
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { StepsInFlight = depth }));
        await engine.Submit(EngineHarness.Request(Prompt, 10)).ReadAll();

        Assert.True(SpinWait.SpinUntil(() => engine.Thread.ThreadState.HasFlag(ThreadState.WaitSleepJoin), EngineHarness.Patience));
        var steps = engine.Load.Steps;
        Assert.Equal(10, steps);
        Assert.True(engine.Thread.ThreadState.HasFlag(ThreadState.WaitSleepJoin));

        Assert.Equal(10, (await engine.Submit(EngineHarness.Request(Prompt, 10)).ReadAll()).Count); // And it wakes.
    }

    [Fact]
    public async Task Generate_MaxTokensBeyondContext_EndsWithLengthAtTheContext()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { ContextLength = 40 }));
        var tokens = await engine.Submit(EngineHarness.Request(Prompt, 1_000)).ReadAll();

        Assert.Equal(37, tokens.Count);
        Assert.Equal(SequenceEnd.Length, tokens[^1].End);
    }

    [Fact]
    public async Task Generate_StopId_IsTheLastToken()
    {
        var request = EngineHarness.Request(Prompt, 50);
        var whole = await EngineHarness.Alone(request);
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));
        var stop = whole[20];

        var tokens = await engine.Submit(request with { Sampling = request.Sampling with { StopTokenIds = new HashSet<int> { stop } } }).ReadAll();

        Assert.Equal(whole[..(Array.IndexOf(whole, stop) + 1)], EngineHarness.Ids(tokens));
        Assert.Equal(SequenceEnd.Stop, tokens[^1].End);
    }

    [Fact]
    public async Task Load_AfterSteps_HasMeasuredTimesAndCounters()
    {
        var clock = new ManualTime();
        var device = new SimulatedDevice { PerStep = TimeSpan.FromMilliseconds(10), PerPrefillToken = TimeSpan.FromMilliseconds(2) };
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(device, clock.Advance), clock);

        await engine.Submit(EngineHarness.Request([.. Enumerable.Range(1, 20)], 5)).ReadAll();

        var load = engine.Load;
        Assert.Equal((20, 5, 5), (load.PromptTokens, load.GenerationTokens, load.Steps));
        Assert.Equal((20, 0), (load.PrefixCacheQueries, load.PrefixCacheHits));
        Assert.Equal(0.010, load.SecondsPerDecodeStep, 1e-9);
        Assert.Equal(0.0025, load.SecondsPerPrefillToken, 1e-9);
        Assert.Equal(256, load.KvBlocksTotal);
    }

    /// <summary>A device that hangs is seen from outside, by the clock of who looks.</summary>
    [Fact]
    public async Task Load_StepHangs_TellsItsAgeAndWhatIsPending()
    {
        var clock = new ManualTime();
        var device = new SimulatedDevice { PerStep = TimeSpan.FromMilliseconds(10), PerPrefillToken = TimeSpan.FromMilliseconds(2) };
        var executor = new ScriptedExecutor(new SimulatedExecutor(device, clock.Advance));
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 100 }, executor, clock);
        await engine.Submit(EngineHarness.Request([.. Enumerable.Range(1, 20)], 2)).ReadAll();
        Assert.Equal((0.050, 0), (Math.Round(engine.Load.LongestStepSeconds, 6), engine.Load.StepAgeSeconds));

        executor.Hold();
        var handle = engine.Submit(EngineHarness.Request(EngineHarness.RandomPrompt(new(1), 200), 2));
        await executor.StepReached(3).WaitAsync(EngineHarness.Patience);
        Assert.Equal(0.25, engine.Load.LongestStepSeconds, 1e-6); // None took so long, but these 100 tokens should.
        clock.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(3, engine.Load.StepAgeSeconds, 1e-6);
        clock.Advance(TimeSpan.FromSeconds(3));

        Assert.Equal(6, engine.Load.StepAgeSeconds, 1e-6);
        Assert.Equal((200, 0.5), (engine.Load.PendingPrefillTokens, Math.Round(engine.Load.PendingPrefillSeconds, 6)));
        executor.Release();
        Assert.Equal(2, (await handle.ReadAll()).Count);
        Assert.Equal((0, 0, 6.21), (engine.Load.StepAgeSeconds, engine.Load.PendingPrefillSeconds, Math.Round(engine.Load.LongestStepSeconds, 6)));
    }

    /// <summary>Readers that leave, fall behind or run out of time, prompts that repeat, blocks that run out: nothing is left behind.</summary>
    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task SubmitAndLeave_FromManyThreads_ReturnsThePoolToItsBeginning(int depth)
    {
        var clock = new ManualTime();
        await using var engine = InferenceEngine.Start(
            new() { MaxQueuedSequences = 1000, MaxBufferedTokens = 5, MaxRunningSequences = 6 },
            new SimulatedExecutor(new() { KvBlockCount = 40, KvBlockTokens = 4, StepsInFlight = depth }), clock);

        await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(async () =>
        {
            var random = new Random(worker);
            for (var round = 0; round < 25; round++)
            {
                var request = EngineHarness.Request(EngineHarness.RandomPrompt(random, random.Next(1, 40), 3), random.Next(1, 40));
                if (random.Next(4) == 0) request = request with { Deadline = clock.GetUtcNow().AddSeconds(random.Next(8)) };
                clock.Advance(TimeSpan.FromSeconds(1));
                await using var handle = engine.Submit(request);
                var leaveAfter = random.Next(60);
                var index = 0;
                while (index < leaveAfter && await handle.WaitToReadAsync().AsTask().WaitAsync(EngineHarness.Patience))
                {
                    while (index < leaveAfter && handle.TryRead(out var token)) Assert.Equal(index++, token.Index);
                }
            }
        })));

        Assert.Equal((0, 0, 0), (engine.Load.RunningSequences, engine.Load.WaitingSequences, engine.Load.KvBlocksUsed));
        Assert.False(engine.Completion.IsCompleted);
        Assert.Equal(0, clock.ActiveTimers);
    }

    private static Task Released(ISequenceHandle handle) =>
        ((Granary.Engine.Scheduling.SequenceHandle)handle).Released.WaitAsync(EngineHarness.Patience);
}
