using Orleans.Runtime;

namespace Granary.Tests.Cluster.Runtime;

public sealed class CallTests(RuntimeCluster runtime) : IClassFixture<RuntimeCluster>
{
    private readonly string _key = Guid.NewGuid().ToString("N");

    private IProbeGrain Grain => runtime.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName);

    [Fact]
    public async Task ResponseTimeout_OfTheMethod_EndsTheCallersWait()
    {
        await Assert.ThrowsAsync<TimeoutException>(() => Grain.HoldBrieflyAsync());
        Signals.Set(_key + "/go");
        // The callee was not told and is still there.
        Assert.NotEmpty(await Grain.WhereAsync());
    }

    [Fact]
    public async Task Cancel_EndsTheCall_AndFiresTheCalleesToken()
    {
        using var cancel = new CancellationTokenSource();
        var call = Grain.WaitForCancelAsync(cancel.Token);
        await Signals.Wait(_key + "/entered");
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        await Signals.Wait(_key + "/cancelled");
    }

    [Fact]
    public async Task Cancel_OfAWaitingCall_KeepsItFromRunning()
    {
        var held = Grain.HoldAsync();
        await Signals.Wait(_key + "/entered");
        using var cancel = new CancellationTokenSource();
        var waiting = Grain.WaitForCancelAsync(cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Signals.Set(_key + "/go");
        await held;
        await Grain.WhereAsync();
        Assert.False(Signals.IsSet(_key + "/cancelled"));
    }

    [Fact]
    public async Task CancelledToken_SendsNothing()
    {
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Grain.WaitForCancelAsync(new CancellationToken(canceled: true)));
        Assert.Equal(0, Signals.CountOf(_key + "/activated"));
    }

    [Fact]
    public async Task RequestContext_FlowsThroughCalls_AndNotBack()
    {
        RequestContext.Set("trace", "abc");
        try
        {
            var other = runtime.Client.GetGrain<IProbeGrain>(_key + "-other", typeof(ProbeGrain).FullName);
            Assert.Equal("abc>abc", await Grain.ForwardContextAsync("trace", other));
        }
        finally
        {
            RequestContext.Clear();
        }

        Assert.Null(await Grain.ContextAsync("trace"));
    }

    [Fact]
    public async Task FailedActivation_TellsItsCallers_AndIsTriedAgain()
    {
        var grain = runtime.Client.GetGrain<IFailingGrain>(_key);
        var thrown = await Assert.ThrowsAsync<MarkedException>(() => grain.CallAsync());
        Assert.Equal("not today", thrown.Message);
        await grain.CallAsync();
    }

    [Fact]
    public async Task Observer_HearsBothKindsOfCalls()
    {
        var observer = new Observer();
        var reference = runtime.Client.CreateObjectReference<IProbeObserver>(observer);
        await runtime.Client.GetGrain<IPlacedGrain>($"Silo_1/{_key}").NotifyAsync(reference, 5);
        Assert.Equal(5, await observer.Number.Task.WaitAsync(Signals.Patience));
        Assert.Equal(5, await observer.Told.Task.WaitAsync(Signals.Patience));
        runtime.Client.DeleteObjectReference<IProbeObserver>(reference);
        GC.KeepAlive(observer);
    }

    [Fact]
    public async Task State_IsReadByTheNextLife()
    {
        var grain = runtime.Client.GetGrain<IStateGrain>(_key);
        Assert.Equal((1, 10), await grain.AddAsync());
        await grain.EndAsync();
        await Signals.Wait(_key + "/ended");
        Assert.Equal((2, 20), await grain.AddAsync());
    }

    [Fact]
    public async Task Timer_DoesNotOverlapItself_AndSurvivesAnError()
    {
        var id = Guid.NewGuid();
        await runtime.Client.GetGrain<ITimerGrain>(id).StartAsync(interleave: false);
        await Signals.Wait($"{id}/4");
    }

    [Fact]
    public async Task Timer_RunsBesideACall_OnlyIfItInterleaves()
    {
        Guid[] ids = [Guid.NewGuid(), Guid.NewGuid()];
        var interleaving = runtime.Client.GetGrain<ITimerGrain>(ids[0]);
        var waiting = runtime.Client.GetGrain<ITimerGrain>(ids[1]);
        await interleaving.StartAsync(interleave: true);
        await waiting.StartAsync(interleave: false);
        var held = new[] { interleaving.HoldAsync(), waiting.HoldAsync() };
        await Signals.Wait(ids[0] + "/entered");
        await Signals.Wait(ids[1] + "/entered");
        var (ticks, none) = (Signals.CountOf(ids[0].ToString()), Signals.CountOf(ids[1].ToString()));
        await Signals.Wait($"{ids[0]}/{ticks + 5}");
        Assert.Equal(none, Signals.CountOf(ids[1].ToString()));
        foreach (var id in ids) Signals.Set(id + "/go");
        await Task.WhenAll(held);
        await Signals.Wait($"{ids[1]}/{none + 3}");
    }

    private sealed class Observer : IProbeObserver
    {
        public TaskCompletionSource<int> Number { get; } = new();

        public TaskCompletionSource<int> Told { get; } = new();

        public Task NumberAsync(int number)
        {
            Number.SetResult(number);
            return Task.CompletedTask;
        }

        void IProbeObserver.Told(int number) => Told.SetResult(number);
    }
}
