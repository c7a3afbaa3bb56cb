using Microsoft.Extensions.DependencyInjection;

namespace Orleans.Runtime;

/// <summary>One activation: its instance, its calls waiting and running, and its life.</summary>
internal sealed partial class Activation : CallTarget, IGrainContext
{
    private readonly Lock _gate = new();
    private readonly List<Call> _waiting = [];
    private readonly List<Call> _running = [];
    private readonly Dictionary<Guid, int> _reentrantSections = [];
    private readonly Dictionary<Type, object> _components = [];
    private readonly TaskCompletionSource _deactivated = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<IStateReader> _persistentStates = [];
    private AsyncServiceScope _scope;
    private ActivationState _state = ActivationState.Creating;
    private DeactivationReason _reason;
    private object? _instance;
    private Call? _blocking;
    private long _lastUse;
    private DateTimeOffset _keepUntil;
    private bool _finishing;
    private bool _registered;

    public Activation(SiloRuntime silo, GrainClass grainClass, GrainId grainId)
    {
        Silo = silo;
        Class = grainClass;
        GrainId = grainId;
        ActivationId = ActivationId.NewId();
        Scheduler = new ActivationScheduler(this);
        Streams = new StreamProducers(this);
        Timers = new GrainTimers(this);
        _lastUse = silo.Time.GetTimestamp();
    }

    private enum ActivationState
    {
        Creating,
        Activating,
        Valid,
        Deactivating,
        Invalid,
    }

    public SiloRuntime Silo { get; }

    public override RuntimeClient Host => Silo;

    public GrainClass Class { get; }

    public GrainId GrainId { get; }

    public ActivationId ActivationId { get; }

    public ActivationScheduler Scheduler { get; }

    public StreamProducers Streams { get; }

    public GrainTimers Timers { get; }

    public override object? Instance => _instance;

    public object? GrainInstance => _instance;

    public GrainReference GrainReference => Silo.Bind(Class.MainInterface, GrainId);

    public GrainAddress Address => new() { GrainId = GrainId, ActivationId = ActivationId, SiloAddress = Silo.Address };

    public IServiceProvider ActivationServices => _scope.ServiceProvider ?? Silo.Services;

    public Task Deactivated => _deactivated.Task;

    public bool IsDeactivating => _state >= ActivationState.Deactivating;

    /// <summary>Calls waiting and running.</summary>
    public int Load
    {
        get
        {
            lock (_gate)
            {
                return _waiting.Count + _running.Count;
            }
        }
    }

    public override bool TryReceive(Call call)
    {
        lock (_gate)
        {
            if (_state == ActivationState.Invalid || Silo.IsGone) return false;
            if (Silo.MaxEnqueuedRequests is > 0 and var limit && _waiting.Count >= limit)
            {
                throw new LimitExceededException("MaxEnqueuedRequests", _waiting.Count, limit, ToString());
            }

            if (!_registered)
            {
                // Not in the constructor: the loser of a race for the directory never receives a call.
                _registered = true;
                Silo.Register(this);
            }

            _waiting.Add(call);
        }

        Scheduler.RequestPump();
        return true;
    }

    /// <summary>A turn: creates the instance, or starts every call that may run now.</summary>
    public void Pump()
    {
        if (_state == ActivationState.Creating)
        {
            _state = ActivationState.Activating;
            _ = ActivateAsync();
            return;
        }

        var context = ExecutionContext.Capture();
        while (TakeNext() is { } call)
        {
            if (RequestContext.Current != call.Context) RequestContext.Current = call.Context;
            var activity = call.Trace == default ? null : ActivityTracing.StartCallee(call);
            call.Run(this);
            activity?.Stop();
            // A grain method that is no async method may leave its async-locals behind.
            if (context is not null) ExecutionContext.Restore(context);
        }
    }

    public override void Ended(Call call)
    {
        bool pump, finish;
        lock (_gate)
        {
            _running.Remove(call);
            if (_blocking == call) _blocking = _running.Find(other => !Interleaves(other));
            if (call.CountsAsUse) _lastUse = Silo.Time.GetTimestamp();
            pump = _waiting.Count > 0 && _state == ActivationState.Valid;
            finish = _state == ActivationState.Deactivating && _running.Count == 0;
        }

        if (pump) Scheduler.RequestPump();
        if (finish) BeginFinish();
    }

    public override void Cancel(Call call)
    {
        bool waiting;
        lock (_gate)
        {
            waiting = _waiting.Remove(call);
        }

        if (waiting) call.Reject(new OperationCanceledException());
        else Scheduler.QueueAction(static call => ((Call)call!).FireCalleeToken(), call);
    }

    /// <summary>A state to read before the grain is activated.</summary>
    public void AddState(IStateReader state) => _persistentStates.Add(state);

    public void EnterReentrantSection(Guid id)
    {
        lock (_gate)
        {
            _reentrantSections[id] = _reentrantSections.GetValueOrDefault(id) + 1;
        }
    }

    public void LeaveReentrantSection(Guid id)
    {
        lock (_gate)
        {
            if (_reentrantSections.GetValueOrDefault(id) is > 1 and var count) _reentrantSections[id] = count - 1;
            else _reentrantSections.Remove(id);
        }
    }

    public object? GetTarget() => _instance;

    public object? GetComponent(Type componentType) => _components.TryGetValue(componentType, out var component) ? component : ActivationServices.GetService(componentType);

    public void SetComponent<TComponent>(TComponent? value)
        where TComponent : class
    {
        if (value is null) _components.Remove(typeof(TComponent));
        else _components[typeof(TComponent)] = value;
    }

    public bool Equals(IGrainContext? other) => ReferenceEquals(this, other);

    public override string ToString() => $"{GrainId}{ActivationId} on {Silo.Name}";

    /// <summary>The oldest waiting call that may run beside those that do.</summary>
    private Call? TakeNext()
    {
        lock (_gate)
        {
            if (_state != ActivationState.Valid) return null;
            for (var i = 0; i < _waiting.Count; i++)
            {
                var call = _waiting[i];
                if (!MayRun(call)) continue;
                _waiting.RemoveAt(i);
                _running.Add(call);
                if (_blocking is null && !Interleaves(call)) _blocking = call;
                return call;
            }

            return null;
        }
    }

    private bool MayRun(Call call) =>
        _blocking is null
        || call.AlwaysInterleave
        || (_blocking.ReadOnly && call.ReadOnly)
        || Class.IsReentrant
        || (RequestContext.ReentrancyIdOf(call.Context) is var chain && chain != Guid.Empty && _reentrantSections.ContainsKey(chain))
        || (Class.MayInterleave is { } predicate && predicate(_instance, call));

    private bool Interleaves(Call call) => call.AlwaysInterleave || Class.IsReentrant;
}
