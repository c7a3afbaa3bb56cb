using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Orleans;
using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.MembershipService.SiloMetadata;
using Orleans.Runtime.Placement;
using Orleans.Serialization.Invocation;

namespace Granary.Tests.Cluster.Runtime;

/// <summary>What the tests call: the key of a grain names its signals.</summary>
public interface IProbeGrain : IGrainWithStringKey
{
    Task<string> WhereAsync();

    Task<Guid> LifeAsync();

    /// <summary>Signals <c>key/entered</c> and waits for <c>key/go</c>.</summary>
    Task HoldAsync();

    [AlwaysInterleave]
    Task<int> PeekAsync();

    [ReadOnly]
    Task ReadHoldAsync(string reader);

    [OneWay]
    Task ShoutAsync(string signal);

    [ResponseTimeout("00:00:00.300")]
    Task HoldBrieflyAsync();

    Task WaitForCancelAsync(CancellationToken cancellationToken = default);

    Task<bool> SchedulerComesBackAsync();

    Task ThrowAsync(string message);

    Task ThrowUnmarkedAsync();

    Task EndAsync();

    Task<string?> ContextAsync(string key);

    Task<string> ForwardContextAsync(string key, IProbeGrain other);
}

public abstract class ProbeGrainBase : Grain, IProbeGrain
{
    private readonly Guid _life = Guid.NewGuid();
    private int _running;

    protected string Key => this.GetPrimaryKeyString();

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        Signals.Count(Key + "/activated");
        return Task.CompletedTask;
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        Signals.Set($"{Key}/deactivated/{reason.ReasonCode}");
        return Task.CompletedTask;
    }

    public Task<string> WhereAsync() => Task.FromResult(RuntimeIdentity);

    public Task<Guid> LifeAsync() => Task.FromResult(_life);

    public async Task HoldAsync()
    {
        _running++;
        Signals.Count(Key + "/holding");
        Signals.Set($"{Key}/entered");
        await Signals.Wait(Key + "/go");
        _running--;
    }

    public Task<int> PeekAsync() => Task.FromResult(_running);

    public async Task ReadHoldAsync(string reader)
    {
        Signals.Set($"{Key}/reading/{reader}");
        await Signals.Wait(Key + "/go");
    }

    public Task ShoutAsync(string signal)
    {
        Signals.Set(signal);
        throw new InvalidOperationException("nobody hears this");
    }

    public Task HoldBrieflyAsync() => HoldAsync();

    public async Task WaitForCancelAsync(CancellationToken cancellationToken = default)
    {
        Signals.Set(Key + "/entered");
        try
        {
            await Signals.Wait(Key + "/go", cancellationToken);
        }
        finally
        {
            if (cancellationToken.IsCancellationRequested) Signals.Set(Key + "/cancelled");
        }
    }

    public async Task<bool> SchedulerComesBackAsync()
    {
        var before = TaskScheduler.Current;
        await Task.Yield();
        var after = TaskScheduler.Current;
        await Task.Run(() => { });
        return before != TaskScheduler.Default && before == after && after == TaskScheduler.Current;
    }

    public Task ThrowAsync(string message) => throw new MarkedException(message, 42);

    public Task ThrowUnmarkedAsync() => throw new ArgumentOutOfRangeException("count", 7, "out of bounds");

    public Task EndAsync()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    public Task<string?> ContextAsync(string key) => Task.FromResult(RequestContext.Get(key) as string);

    public async Task<string> ForwardContextAsync(string key, IProbeGrain other) => $"{await ContextAsync(key)}>{await other.ContextAsync(key)}";
}

public sealed class ProbeGrain : ProbeGrainBase
{
}

[Reentrant]
public sealed class ReentrantProbeGrain : ProbeGrainBase, IReentrantProbeGrain
{
}

public interface IReentrantProbeGrain : IProbeGrain
{
}

[MayInterleave(nameof(IsWhere))]
public sealed class ChoosyProbeGrain : ProbeGrainBase, IChoosyProbeGrain
{
    public static bool IsWhere(IInvokable request) => request.GetMethodName() == nameof(WhereAsync);
}

public interface IChoosyProbeGrain : IProbeGrain
{
}

[GenerateSerializer]
public sealed class MarkedException(string message, int code) : Exception(message)
{
    [Id(0)]
    public int Code { get; private set; } = code;
}

/// <summary>Lives on the silo whose name starts the key: <c>Silo_1/x</c>.</summary>
internal interface IPlacedGrain : IGrainWithStringKey
{
    Task<string> SiloAsync();

    Task<Everything> EchoAsync(Everything value);

    Task<bool> MutateAsync(int[] numbers);

    Task<bool> IsSameAsync([Immutable] int[] numbers);

    Task<int[]> KeptAsync();

    Task SendAsync(object value);

    Task<bool> IsMineAsync(IPlacedGrain other);

    Task<int[]> CallKeptOfAsync(IPlacedGrain other);

    Task<string> CallHoldOnAsync(IPlacedGrain other);

    Task HoldAsync();

    IAsyncEnumerable<int> CountAsync(int count, bool pause, CancellationToken cancellationToken = default);

    IAsyncEnumerable<int> StepAsync(CancellationToken cancellationToken = default);

    Task PushAsync(int item);

    Task CompleteAsync(string? error);

    Task NotifyAsync(IProbeObserver observer, int number);
}

public interface IProbeObserver : IGrainObserver
{
    Task NumberAsync(int number);

    [OneWay]
    void Told(int number);
}

[OnSilo]
internal sealed class PlacedGrain(ILocalSiloDetails silo) : Grain, IPlacedGrain
{
    private readonly Channel<int> _channel = Channel.CreateUnbounded<int>();
    private readonly int[] _kept = [1, 2, 3];

    private string Key => this.GetPrimaryKeyString();

    public Task<string> SiloAsync() => Task.FromResult(silo.Name);

    public Task<Everything> EchoAsync(Everything value) => Task.FromResult(value);

    public Task<bool> MutateAsync(int[] numbers)
    {
        numbers[0] = -1;
        return Task.FromResult(true);
    }

    public Task<bool> IsSameAsync(int[] numbers) => Task.FromResult(ReferenceEquals(numbers, IsolationTests.Shared));

    public Task<int[]> KeptAsync() => Task.FromResult(_kept);

    public Task SendAsync(object value) => Task.CompletedTask;

    public Task<bool> IsMineAsync(IPlacedGrain other) => Task.FromResult(other.GetPrimaryKeyString() == Key);

    public async Task<int[]> CallKeptOfAsync(IPlacedGrain other)
    {
        var first = await other.KeptAsync();
        first[0] = 99;
        return await other.KeptAsync();
    }

    public async Task<string> CallHoldOnAsync(IPlacedGrain other)
    {
        try
        {
            await other.HoldAsync();
            return "done";
        }
        catch (Exception exception)
        {
            return exception.GetType().Name;
        }
    }

    public async Task HoldAsync()
    {
        Signals.Set(Key + "/entered");
        await Signals.Wait(Key + "/go");
    }

    public async IAsyncEnumerable<int> CountAsync(int count, bool pause, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        try
        {
            for (var i = 0; i < count; i++)
            {
                if (pause) await Task.Yield();
                cancellationToken.ThrowIfCancellationRequested();
                yield return i;
            }
        }
        finally
        {
            Signals.Set(Key + "/finally");
        }
    }

    public async IAsyncEnumerable<int> StepAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        try
        {
            await foreach (var item in _channel.Reader.ReadAllAsync(cancellationToken)) yield return item;
        }
        finally
        {
            Signals.Set(Key + "/finally");
        }
    }

    public async Task PushAsync(int item) => await _channel.Writer.WriteAsync(item);

    public Task CompleteAsync(string? error)
    {
        _channel.Writer.Complete(error is null ? null : new MarkedException(error, 1));
        return Task.CompletedTask;
    }

    public async Task NotifyAsync(IProbeObserver observer, int number)
    {
        observer.Told(number);
        await observer.NumberAsync(number);
    }
}

/// <summary>Narrows a grain's silos to the one its key names.</summary>
public sealed class OnSiloFilter(int order) : PlacementFilterStrategy(order)
{
    public OnSiloFilter()
        : this(0)
    {
    }
}

[AttributeUsage(AttributeTargets.Class)]
public sealed class OnSiloAttribute() : PlacementFilterAttribute(new OnSiloFilter(0));

public sealed class OnSiloFilterDirector(ISiloMetadataCache metadata) : IPlacementFilterDirector
{
    public IEnumerable<SiloAddress> Filter(PlacementFilterStrategy filterStrategy, PlacementTarget target, IEnumerable<SiloAddress> silos)
    {
        var wanted = target.GrainIdentity.Key.ToString()!.Split('/')[0];
        return silos.Where(silo => !wanted.StartsWith("Silo_", StringComparison.Ordinal) || metadata.GetSiloMetadata(silo).Metadata.GetValueOrDefault("name") == wanted);
    }
}

public sealed class ScopeCounter
{
    private int _made;
    private int _disposed;

    public int Made => _made;

    public int Disposed => _disposed;

    public void OnMade() => Interlocked.Increment(ref _made);

    public void OnDisposed() => Interlocked.Increment(ref _disposed);
}

public sealed class Scoped : IDisposable
{
    private readonly ScopeCounter _counter;

    public Scoped(ScopeCounter counter)
    {
        _counter = counter;
        counter.OnMade();
    }

    public void Dispose() => _counter.OnDisposed();
}
