namespace Orleans.Runtime;

/// <summary>An object that can be called back. It is held weakly, and called one call at a time.</summary>
internal sealed class ObserverTarget(RuntimeClient host, GrainId id, object observer) : CallTarget
{
    public static readonly GrainType Type = GrainType.Create("sys.client");

    private readonly WeakReference _observer = new(observer);
    private readonly Lock _gate = new();
    private readonly List<Call> _waiting = [];
    private Call? _running;

    public GrainId Id => id;

    public override RuntimeClient Host => host;

    public override object? Instance => _observer.Target;

    public override bool TryReceive(Call call)
    {
        if (Instance is null || host.IsGone) host.Cluster.Remove(this);
        lock (_gate)
        {
            if (Instance is null || host.IsGone) return false;
            _waiting.Add(call);
        }

        StartNext();
        return true;
    }

    public override void Ended(Call call)
    {
        lock (_gate)
        {
            if (_running == call) _running = null;
        }

        StartNext();
    }

    public override void Cancel(Call call)
    {
        bool waiting;
        lock (_gate)
        {
            waiting = _waiting.Remove(call);
        }

        if (waiting) call.Reject(new OperationCanceledException());
        else call.FireCalleeToken();
    }

    private void StartNext()
    {
        Call call;
        lock (_gate)
        {
            if (_running is not null || _waiting.Count == 0) return;
            _running = call = _waiting[0];
            _waiting.RemoveAt(0);
        }

        ThreadPool.UnsafeQueueUserWorkItem(
            static state =>
            {
                if (state.call.Context is not null) RequestContext.Current = state.call.Context;
                if (state.target.Instance is null)
                {
                    state.call.Reject(new ClientNotAvailableException(state.target.Id));
                    state.target.Ended(state.call);
                    return;
                }

                state.call.Run(state.target);
            },
            (target: this, call),
            preferLocal: false);
    }
}
