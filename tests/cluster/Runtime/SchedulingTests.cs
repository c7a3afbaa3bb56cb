namespace Granary.Tests.Cluster.Runtime;

public sealed class SchedulingTests(RuntimeCluster runtime) : IClassFixture<RuntimeCluster>
{
    private readonly string _key = Guid.NewGuid().ToString("N");

    [Fact]
    public async Task Call_ActivatesOnce_AndKeepsItsActivation()
    {
        var grain = runtime.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName);
        var lives = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => grain.LifeAsync()));
        Assert.Single(lives.Distinct());
        Assert.Equal(1, Signals.CountOf(_key + "/activated"));
    }

    [Fact]
    public async Task Await_InGrainCode_ComesBackToTheActivation()
    {
        Assert.True(await runtime.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName).SchedulerComesBackAsync());
    }

    [Fact]
    public async Task NonReentrant_RunsOneCallAtATime_AndAlwaysInterleavePasses()
    {
        var grain = runtime.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName);
        var first = grain.HoldAsync();
        await Signals.Wait(_key + "/entered");
        var second = grain.HoldAsync();
        Assert.Equal(1, await grain.PeekAsync());
        Assert.False(second.IsCompleted);
        Assert.Equal(1, Signals.CountOf(_key + "/holding"));
        Signals.Set(_key + "/go");
        await Task.WhenAll(first, second);
        Assert.Equal(2, Signals.CountOf(_key + "/holding"));
    }

    [Fact]
    public async Task Reentrant_RunsCallsBesideEachOther()
    {
        var grain = runtime.Client.GetGrain<IReentrantProbeGrain>(_key);
        var first = grain.HoldAsync();
        await Signals.Wait(_key + "/entered");
        var second = grain.HoldAsync();
        // A call sent after the second is served after it has begun.
        await grain.WhereAsync();
        while (Signals.CountOf(_key + "/holding") < 2) await grain.WhereAsync();
        Assert.Equal(2, await grain.PeekAsync());
        Signals.Set(_key + "/go");
        await Task.WhenAll(first, second);
    }

    [Fact]
    public async Task MayInterleave_AsksThePredicate()
    {
        var grain = runtime.Client.GetGrain<IChoosyProbeGrain>(_key);
        var held = grain.HoldAsync();
        await Signals.Wait(_key + "/entered");
        Assert.NotEmpty(await grain.WhereAsync());
        var refused = grain.LifeAsync();
        await grain.PeekAsync();
        Assert.False(refused.IsCompleted);
        Signals.Set(_key + "/go");
        await Task.WhenAll(held, refused);
    }

    [Fact]
    public async Task ReadOnly_RunsBesideReadOnly_AndNotBesideOthers()
    {
        var grain = runtime.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName);
        var first = grain.ReadHoldAsync("a");
        var second = grain.ReadHoldAsync("b");
        await Signals.Wait(_key + "/reading/a");
        await Signals.Wait(_key + "/reading/b");
        var writer = grain.HoldAsync();
        await grain.PeekAsync();
        Assert.Equal(0, Signals.CountOf(_key + "/holding"));
        Signals.Set(_key + "/go");
        await Task.WhenAll(first, second, writer);
    }

    [Fact]
    public async Task OneWay_EndsAtOnce_AndItsErrorGoesNowhere()
    {
        await runtime.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName).ShoutAsync(_key + "/shout");
        await Signals.Wait(_key + "/shout");
    }

    [Fact]
    public async Task DeactivateOnIdle_EndsTheLife_AndTheNextCallBeginsAnother()
    {
        var grain = runtime.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName);
        var life = await grain.LifeAsync();
        await grain.EndAsync();
        await Signals.Wait(_key + "/deactivated/ApplicationRequested");
        Assert.NotEqual(life, await grain.LifeAsync());
        Assert.Equal(2, Signals.CountOf(_key + "/activated"));
    }
}
