using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <summary>How an activation begins and ends.</summary>
internal sealed partial class Activation
{
    public void Activate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken = default) => Scheduler.RequestPump();

    public void Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken = default)
    {
        bool finish;
        lock (_gate)
        {
            if (_state != ActivationState.Valid) return;
            _state = ActivationState.Deactivating;
            _reason = deactivationReason;
            finish = _running.Count == 0;
        }

        // Long polls answer, so that they hold nothing up.
        Scheduler.QueueAction(static state => ((Activation)state!).Streams.WakePolls(), this);
        if (finish) BeginFinish();
    }

    public void DelayDeactivation(TimeSpan span)
    {
        lock (_gate)
        {
            _keepUntil = span == Timeout.InfiniteTimeSpan || span == TimeSpan.MaxValue ? DateTimeOffset.MaxValue
                : span <= TimeSpan.Zero ? default
                : Silo.Time.GetUtcNow() + span;
        }
    }

    /// <summary>Whether nobody has used it for its class's collection age.</summary>
    public bool IsCollectable(TimeSpan defaultAge)
    {
        lock (_gate)
        {
            return _state == ActivationState.Valid && _waiting.Count == 0 && _running.Count == 0
                && Class.CollectionAge(defaultAge) is { } age && Silo.Time.GetElapsedTime(_lastUse) >= age
                && Silo.Time.GetUtcNow() >= _keepUntil;
        }
    }

    /// <summary>The silo was killed: nothing runs any more. Returns the calls that were waiting and running.</summary>
    public Call[] Kill()
    {
        Scheduler.Kill();
        Timers.StopAll();
        Streams.StopTimer();
        lock (_gate)
        {
            _state = ActivationState.Invalid;
            Call[] calls = [.. _waiting, .. _running];
            _waiting.Clear();
            _running.Clear();
            return calls;
        }
    }

    private async Task ActivateAsync()
    {
        try
        {
            _scope = Silo.Services.CreateAsyncScope();
            _instance = Class.Create(this);
            foreach (var state in _persistentStates) await state.ReadAsync();
            if (_instance is IStatefulGrain stateful) await stateful.SetUpStateAsync();
            if (_instance is IGrainBase grain)
            {
                using var timeout = new CancellationTokenSource(Silo.ActivationTimeout, Silo.Time);
                await grain.OnActivateAsync(timeout.Token).WaitAsync(timeout.Token);
            }

            lock (_gate)
            {
                _state = ActivationState.Valid;
                _lastUse = Silo.Time.GetTimestamp();
            }

            Scheduler.RequestPump();
        }
        catch (Exception exception)
        {
            LogActivationFailed(Silo.Logger, ToString(), exception);
            await EndAsync();
            foreach (var call in TakeWaiting()) RejectActivation(call, exception);
        }
    }

    private void RejectActivation(Call call, Exception exception)
    {
        try
        {
            var handed = call.Caller == Silo ? exception : RuntimeClient.Cross(exception, call.Caller);
            Silo.Cluster.Network.Carry(Silo, call.Caller, (call, handed), static message => message.call.Reject(message.handed));
        }
        catch (Exception error)
        {
            call.Reject(error);
        }
    }

    private void BeginFinish() => Scheduler.QueueAction(static state => _ = ((Activation)state!).FinishAsync(), this);

    private async Task FinishAsync()
    {
        lock (_gate)
        {
            if (_finishing) return;
            _finishing = true;
        }

        Timers.StopAll();
        using var timeout = new CancellationTokenSource(Silo.DeactivationTimeout, Silo.Time);
        if (_instance is IGrainBase grain)
        {
            try
            {
                await grain.OnDeactivateAsync(_reason, timeout.Token).WaitAsync(timeout.Token);
            }
            catch (Exception exception)
            {
                LogDeactivationFailed(Silo.Logger, ToString(), exception);
            }
        }

        await EndAsync();
        foreach (var call in TakeWaiting()) call.Caller.Dispatch(call, null);
    }

    private async Task EndAsync()
    {
        await Streams.DisposeAsync();
        Timers.StopAll();
        try
        {
            if (_instance is IAsyncDisposable asyncDisposable) await asyncDisposable.DisposeAsync();
            else if (_instance is IDisposable disposable) disposable.Dispose();
            if (_scope.ServiceProvider is not null) await _scope.DisposeAsync();
        }
        catch (Exception exception)
        {
            LogDeactivationFailed(Silo.Logger, ToString(), exception);
        }

        Silo.Remove(this);
        lock (_gate)
        {
            _state = ActivationState.Invalid;
        }

        _deactivated.TrySetResult();
    }

    private Call[] TakeWaiting()
    {
        lock (_gate)
        {
            Call[] calls = [.. _waiting];
            _waiting.Clear();
            return calls;
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "Activation {Activation} could not be activated")]
    private static partial void LogActivationFailed(ILogger logger, string activation, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "Activation {Activation} failed while it was deactivated")]
    private static partial void LogDeactivationFailed(ILogger logger, string activation, Exception exception);
}
