using System.Reflection;
using Orleans.Serialization.Invocation;

namespace Orleans.Runtime;

/// <summary>One call on its way from a caller to a grain or observer, and its answer's way back.</summary>
internal abstract class Call(RuntimeClient caller, GrainId target, MethodDescriptor method) : IInvokable
{
    /// <summary>Times a call may be sent on to another activation before it is refused.</summary>
    public const int MaxForwards = 16;

    private object?[]? _arguments;
    private byte[]? _message;
    private ITimer? _timer;
    private CancellationTokenRegistration _registration;
    private CancellationToken _callerToken;
    private CancellationTokenSource? _callee;
    private int _cancelled;

    public RuntimeClient Caller { get; } = caller;

    public GrainId Target { get; } = target;

    public MethodDescriptor Method { get; } = method;

    public Dictionary<string, object>? Context { get; } = RequestContext.Current;

    public System.Diagnostics.ActivityContext Trace { get; set; }

    /// <summary>Who has the call now.</summary>
    public CallTarget? Holder { get; set; }

    public int Forwards { get; set; }

    public virtual bool AlwaysInterleave => Method.AlwaysInterleave;

    public virtual bool ReadOnly => Method.ReadOnly;

    public virtual bool OneWay => Method.OneWay;

    /// <summary>Whether serving it keeps the activation from being collected.</summary>
    public virtual bool CountsAsUse => true;

    public bool IsCancellable => Method.TokenIndex >= 0;

    protected bool IsCancelRequested => Volatile.Read(ref _cancelled) != 0;

    /// <summary>Fires on the callee's side when the caller cancels.</summary>
    protected CancellationToken CalleeToken => _callee?.Token ?? CancellationToken.None;

    /// <summary>Runs on the target's scheduler and ends with <see cref="CallTarget.Ended"/>.</summary>
    public abstract void Run(CallTarget target);

    /// <summary>Fails the caller's task; the first outcome stands.</summary>
    public abstract void Reject(Exception exception);

    protected abstract bool TryCancelCaller(CancellationToken token);

    /// <summary>Takes the arguments away from the caller: by copy, or as bytes when the target is known to be elsewhere.</summary>
    public void TakeArguments(object?[] arguments, bool remote)
    {
        if (Method.TokenIndex is >= 0 and var index)
        {
            _callerToken = (CancellationToken)arguments[index]!;
            arguments[index] = null;
        }

        if (remote)
        {
            _message = Method.Write(arguments);
            return;
        }

        Method.CopyInPlace(arguments);
        _arguments = arguments;
    }

    /// <summary>Starts the caller's wait: the clock, and the caller's token.</summary>
    public void Arm(CancellationToken token)
    {
        if (token.CanBeCanceled)
        {
            _callerToken = token;
        }

        if (_callerToken.CanBeCanceled || Caller.CancelRequestOnTimeout) _callee = new CancellationTokenSource();
        if (!OneWay) _timer = Caller.Time.CreateTimer(static call => ((Call)call!).TimeOut(), this, Timeout, System.Threading.Timeout.InfiniteTimeSpan);
        if (_callerToken.CanBeCanceled) _registration = _callerToken.UnsafeRegister(static call => ((Call)call!).CallerCancelled(), this);
    }

    /// <summary>The arguments as the target's own, crossing by bytes where caller and target are apart.</summary>
    protected object?[] OpenArguments(CallTarget target)
    {
        if (target.Host != Caller && _message is null) _message = Method.Write(_arguments!);
        var arguments = _message is null ? _arguments! : Method.Read(_message, target.Host);
        if (Method.TokenIndex is >= 0 and var index) arguments[index] = CalleeToken;
        return arguments;
    }

    /// <summary>The caller's wait is over.</summary>
    protected void Disarm()
    {
        _timer?.Dispose();
        _registration.Dispose();
    }

    private TimeSpan Timeout => Method.ResponseTimeout ?? Caller.ResponseTimeout;

    private void TimeOut()
    {
        if (Caller.CancelRequestOnTimeout) CancelCallee();
        Reject(new TimeoutException($"Response did not arrive on time in {Timeout} for message: {this}."));
    }

    private void CallerCancelled()
    {
        if (!Caller.WaitForCancellationAcknowledgement) TryCancelCaller(_callerToken);
        CancelCallee();
    }

    private void CancelCallee()
    {
        if (Interlocked.Exchange(ref _cancelled, 1) != 0) return;
        // Callbacks of the token are turns of the grain, so they run on its scheduler.
        if (Holder is { } holder) Caller.Cluster.Network.Carry(Caller, holder.Host, (holder, call: this), static message => message.holder.Cancel(message.call));
    }

    /// <summary>On the target's scheduler.</summary>
    public void FireCalleeToken() => _callee?.Cancel();

    public override string ToString() => $"{Method.Name} from {Caller.Name} to {Target}";

    // What a MayInterleave predicate may ask.
    public object? GetTarget() => Holder?.Instance;

    public int GetArgumentCount() => Method.Method.GetParameters().Length;

    public object? GetArgument(int index) => (_arguments ??= Method.Read(_message!, Holder!.Host))[index];

    public string GetMethodName() => Method.Method.Name;

    public string GetInterfaceName() => Method.Interface.Type.FullName!;

    public string GetActivityName() => Method.Name;

    public MethodInfo GetMethod() => Method.Method;

    public Type GetInterfaceType() => Method.Interface.Type;

    public TimeSpan? GetDefaultResponseTimeout() => Method.ResponseTimeout;

    public CancellationToken GetCancellationToken() => CalleeToken;
}

/// <summary>A call by the type of its answer.</summary>
internal abstract class Call<T>(RuntimeClient caller, GrainId target, MethodDescriptor method) : Call(caller, target, method)
{
    private readonly TaskCompletionSource<T> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<T> Answer => _answer.Task;

    public sealed override void Run(CallTarget target)
    {
        ValueTask<T> running;
        try
        {
            if (IsCancelRequested) FireCalleeToken();
            running = IsCancelRequested && !RunsWhenCancelled
                ? ValueTask.FromCanceled<T>(new CancellationToken(canceled: true))
                : Invoke(target);
        }
        catch (Exception exception)
        {
            running = ValueTask.FromException<T>(exception);
        }

        if (running.IsCompletedSuccessfully)
        {
            Complete(target, running.Result);
            target.Ended(this);
        }
        else
        {
            _ = RunOn(target, running);
        }
    }

    public sealed override void Reject(Exception exception)
    {
        Disarm();
        if (exception is OperationCanceledException cancelled) _answer.TrySetCanceled(cancelled.CancellationToken);
        else _answer.TrySetException(exception);
        // A one-way call's error has no reader.
        _ = _answer.Task.Exception;
    }

    /// <summary>Whether the callee has to see the call although its caller cancelled it.</summary>
    protected virtual bool RunsWhenCancelled => false;

    protected abstract ValueTask<T> Invoke(CallTarget target);

    /// <summary>The answer as the caller's own.</summary>
    protected abstract T Hand(T answer, CallTarget from);

    protected sealed override bool TryCancelCaller(CancellationToken token)
    {
        Disarm();
        return _answer.TrySetCanceled(token);
    }

    private async Task RunOn(CallTarget target, ValueTask<T> running)
    {
        try
        {
            Complete(target, await running);
        }
        catch (Exception exception)
        {
            Fail(target, exception);
        }

        target.Ended(this);
    }

    private void Complete(CallTarget target, T answer)
    {
        if (OneWay) return;
        try
        {
            var handed = Hand(answer, target);
            Caller.Cluster.Network.Carry(target.Host, Caller, (call: this, handed), static message =>
            {
                message.call.Disarm();
                message.call._answer.TrySetResult(message.handed);
            });
        }
        catch (Exception exception)
        {
            Reject(exception);
        }
    }

    private void Fail(CallTarget target, Exception exception)
    {
        if (OneWay)
        {
            target.Host.LogOneWayFailure(this, exception);
            return;
        }

        Exception handed;
        try
        {
            handed = target.Host == Caller ? exception : RuntimeClient.Cross(exception, Caller);
        }
        catch (Exception error)
        {
            handed = error;
        }

        Caller.Cluster.Network.Carry(target.Host, Caller, (call: this, handed), static message => message.call.Reject(message.handed));
    }
}

/// <summary>A call with one answer.</summary>
internal sealed class UnaryCall<T>(RuntimeClient caller, GrainId target, UnaryMethod<T> method) : Call<T>(caller, target, method)
{
    protected override ValueTask<T> Invoke(CallTarget target) => method.Invoke(target.Instance!, OpenArguments(target));

    protected override T Hand(T answer, CallTarget from)
    {
        if (method.ResultCodec is not { } codec) return answer;
        if (from.Host != Caller) return RuntimeClient.Cross(codec, answer, Caller);
        return method.ImmutableResult || codec.IsImmutable ? answer : codec.Copy(answer);
    }
}
