using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

public sealed class InferenceEngineTests
{
    private static readonly int[] Prompt = [1, 2, 3];

    [Fact]
    public async Task Dispose_HandleOfRunningSequence_FreesItsBlocks()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { ContextLength = 1 << 20, KvBlockCount = 4096 }));
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

    [Fact]
    public async Task ReadAll_SlowReader_LosesNothingAndHoldsUpNobody()
    {
        await using var engine = InferenceEngine.Start(new() { MaxBufferedTokens = 8 }, new SimulatedExecutor(new()));
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

    [Fact]
    public async Task Deadline_WhileReaderIsAway_EndsTheIdleSequence()
    {
        var clock = new ManualTime();
        await using var engine = InferenceEngine.Start(new() { MaxBufferedTokens = 2 }, new SimulatedExecutor(new()), clock);
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

    [Fact]
    public async Task Execute_Throws_FaultsEverySequenceAndTheEngine()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new()))
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
    public async Task Execute_GivesNaN_FaultsInsteadOfAToken()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new())) { AfterStep = (_, output) => output.Logits(0)[100] = float.NaN };
        await using var engine = InferenceEngine.Start(new(), executor);
        var error = await Assert.ThrowsAsync<StepFailedException>(() => engine.Submit(EngineHarness.Request(Prompt, 9, temperature: 0)).ReadAll());
        Assert.Contains("row 0", error.Message);
    }

    [Fact]
    public async Task DisposeAsync_WhileSequencesRunAndWait_FailsThemAndEnds()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new()));
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
    public async Task Idle_AfterWork_ThreadBlocksAndStepsStandStill()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));
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

        await engine.Submit(EngineHarness.Request([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 5)).ReadAll();

        var load = engine.Load;
        Assert.Equal((10, 5, 5), (load.PromptTokens, load.GenerationTokens, load.Steps));
        Assert.Equal((10, 0), (load.PrefixCacheQueries, load.PrefixCacheHits));
        Assert.Equal(0.010, load.SecondsPerDecodeStep, 1e-9);
        Assert.Equal(0.003, load.SecondsPerPrefillToken, 1e-9);
        Assert.Equal(256, load.KvBlocksTotal);
    }

    [Fact]
    public async Task SubmitAndLeave_FromManyThreads_ReturnsThePoolToItsBeginning()
    {
        await using var engine = InferenceEngine.Start(
            new() { MaxQueuedSequences = 1000, MaxBufferedTokens = 5, MaxRunningSequences = 6 },
            new SimulatedExecutor(new() { KvBlockCount = 40, KvBlockTokens = 4 }));

        await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(async () =>
        {
            var random = new Random(worker);
            for (var round = 0; round < 25; round++)
            {
                var request = EngineHarness.Request(EngineHarness.RandomPrompt(random, random.Next(1, 40), 3), random.Next(1, 40));
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
    }

    private static Task Released(ISequenceHandle handle) =>
        ((Granary.Engine.Scheduling.SequenceHandle)handle).Released.WaitAsync(EngineHarness.Patience);
}
