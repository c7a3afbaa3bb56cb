using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>Reading many sequences by being told, instead of by waiting for each.</summary>
public sealed class ListenTests
{
    [Fact]
    public async Task Listen_ManySequencesOneReader_ReadsAllTheirTokens()
    {
        await using var engine = InferenceEngine.Start(new() { MaxBufferedTokens = 3 }, new SimulatedExecutor(new SimulatedDevice()));
        var requests = Enumerable.Range(0, 20).Select(i => EngineHarness.Request([i, 1, 2], 20 + (5 * i), seed: (ulong)i)).ToArray();
        var read = requests.Select(_ => new List<int>()).ToArray();
        var running = requests.Length;
        using var signal = new SemaphoreSlim(0);
        var handles = requests.Select(engine.Submit).ToArray();
        foreach (var handle in handles) handle.Listen(() => signal.Release());

        while (running > 0)
        {
            Assert.True(await signal.WaitAsync(EngineHarness.Patience));
            for (var i = 0; i < handles.Length; i++)
            {
                while (handles[i].TryRead(out var token))
                {
                    Assert.Equal(read[i].Count, token.Index);
                    read[i].Add(token.TokenId);
                    if (token.End is not null) running--;
                }
            }
        }

        for (var i = 0; i < requests.Length; i++) Assert.Equal(await EngineHarness.Alone(requests[i]), read[i]);
        Assert.All(handles, handle => Assert.Null(handle.Failure));
    }

    [Fact]
    public async Task Listen_EngineFails_IsToldWithTheFailure()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new SimulatedDevice()));
        executor.Hold();
        executor.BeforeStep = _ => throw new StepFailedException("device lost");
        await using var engine = InferenceEngine.Start(new(), executor);
        var handle = engine.Submit(EngineHarness.Request([1], 5));
        var told = new TaskCompletionSource<StepFailedException>(TaskCreationOptions.RunContinuationsAsynchronously);
        handle.Listen(() =>
        {
            if (handle.Failure is { } failure) told.TrySetResult(failure);
        });

        executor.Release();

        Assert.Equal("device lost", (await told.Task.WaitAsync(EngineHarness.Patience)).Message);
        Assert.False(handle.TryRead(out _));
    }
}
