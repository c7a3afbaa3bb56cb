using System.Runtime.CompilerServices;
using Orleans;
using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Runtime;

public interface IEndingGrain : IGrainWithStringKey
{
    Task EndAsync();

    IAsyncEnumerable<int> StreamAsync(CancellationToken cancellationToken = default);
}

public sealed class EndingGrain : Grain, IEndingGrain
{
    public Task EndAsync()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        Signals.Set(this.GetPrimaryKeyString() + "/ended");
        return Task.CompletedTask;
    }

    public async IAsyncEnumerable<int> StreamAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        yield return 1;
        await Signals.Wait(this.GetPrimaryKeyString() + "/ended", cancellationToken);
        yield return 2;
        await Task.Delay(Timeout.Infinite, cancellationToken);
    }
}

public interface IFailingGrain : IGrainWithStringKey
{
    Task CallAsync();
}

public sealed class FailingGrain : Grain, IFailingGrain
{
    public override Task OnActivateAsync(CancellationToken cancellationToken) =>
        Signals.Count(this.GetPrimaryKeyString()) == 1 ? throw new MarkedException("not today", 3) : Task.CompletedTask;

    public Task CallAsync() => Task.CompletedTask;
}

public interface IScopedGrain : IGrainWithIntegerKey
{
    Task EndAsync();
}

public sealed class ScopedGrain(Scoped scoped, IGrainContext context) : Grain, IScopedGrain
{
    public Task EndAsync()
    {
        Assert.NotNull(scoped);
        Assert.Same(GrainContext, context);
        DeactivateOnIdle();
        Signals.Set("scoped/" + this.GetPrimaryKeyLong());
        return Task.CompletedTask;
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        Signals.Set("scoped-ended/" + this.GetPrimaryKeyLong());
        return Task.CompletedTask;
    }
}

public interface ITimerGrain : IGrainWithGuidKey
{
    Task StartAsync(bool interleave);

    Task HoldAsync();
}

public sealed class TimerGrain : Grain, ITimerGrain
{
    private bool _inTick;

    public Task StartAsync(bool interleave)
    {
        var name = this.GetPrimaryKey().ToString();
        this.RegisterGrainTimer(
            async (state, token) =>
            {
                Assert.False(_inTick);
                _inTick = true;
                await Task.Yield();
                _inTick = false;
                var count = Signals.Count(state);
                Signals.Set($"{state}/{count}");
                if (count == 2) throw new InvalidOperationException("the schedule goes on");
                if (token.IsCancellationRequested) Signals.Set(state + "/stopped");
            },
            name,
            new() { DueTime = TimeSpan.FromMilliseconds(1), Period = TimeSpan.FromMilliseconds(5), Interleave = interleave });
        return Task.CompletedTask;
    }

    public async Task HoldAsync()
    {
        var name = this.GetPrimaryKey().ToString();
        Signals.Set(name + "/entered");
        await Signals.Wait(name + "/go");
    }
}

[GenerateSerializer]
public sealed class Counted
{
    [Id(0)]
    public int Count { get; set; }
}

public interface IStateGrain : IGrainWithStringKey
{
    Task<(int Own, int Named)> AddAsync();

    Task EndAsync();
}

public sealed class StateGrain([PersistentState("named")] IPersistentState<Counted> named) : Grain<Counted>, IStateGrain
{
    public async Task<(int Own, int Named)> AddAsync()
    {
        State.Count++;
        named.State.Count += 10;
        await WriteStateAsync();
        await named.WriteStateAsync();
        return (State.Count, named.State.Count);
    }

    public Task EndAsync()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        Signals.Set(this.GetPrimaryKeyString() + "/ended");
        return Task.CompletedTask;
    }
}

public interface ILocalGrain : IGrainWithStringKey
{
    Task<string> SiloAsync();

    Task<string> SiloOfAsync(string other);
}

[PreferLocalPlacement]
public sealed class LocalGrain(ILocalSiloDetails silo) : Grain, ILocalGrain
{
    public Task<string> SiloAsync() => Task.FromResult(silo.Name);

    public Task<string> SiloOfAsync(string other) => GrainFactory.GetGrain<ILocalGrain>(other).SiloAsync();
}

[StatelessWorker(2)]
public sealed class PooledGrain : Grain, IPoolGrain
{
    public async Task HoldAsync(string signal)
    {
        Signals.Count(signal + "/holding");
        await Signals.Wait(signal + "/go");
    }
}

public interface IPoolGrain : IGrainWithIntegerKey
{
    Task HoldAsync(string signal);
}
