namespace Orleans.Runtime;

/// <summary>The way of messages between silos and clients, and what may happen to them there.</summary>
/// <remarks>Without a fault a message arrives at once, on the sender's thread.</remarks>
internal sealed class InProcessNetwork
{
    private readonly Lock _gate = new();
    private readonly HashSet<RuntimeClient> _cutOff = [];
    private readonly HashSet<(RuntimeClient From, RuntimeClient To)> _cutWays = [];
    private readonly Dictionary<(RuntimeClient From, RuntimeClient To), TimeSpan> _delays = [];
    private readonly Dictionary<RuntimeClient, List<Action>> _parked = [];
    private double _lossShare;
    private Random _random = new(0);
    private long _lost;
    private volatile bool _anyFault; // Read for every message, and set by fault tests only.

    /// <summary>Some way was cut or opened, or a silo frozen or thawed.</summary>
    public event Action? Changed;

    /// <summary>Messages that were lost so far.</summary>
    public long Lost => Volatile.Read(ref _lost);

    /// <summary>Brings a message to its receiver: at once, later, or never. A frozen process neither sends nor receives before it is thawed.</summary>
    public void Carry<TState>(RuntimeClient from, RuntimeClient to, TState state, Action<TState> deliver)
    {
        if (from == to || !_anyFault)
        {
            if (!from.IsGone && (from == to || !to.IsGone)) deliver(state);
            return;
        }

        Carry(from, to, () => deliver(state));
    }

    /// <summary>Whether messages both ways arrive now.</summary>
    public bool IsConnected(RuntimeClient one, RuntimeClient other)
    {
        if (one.IsGone || other.IsGone) return false;
        lock (_gate) return !IsCut(one, other) && !IsCut(other, one) && !_parked.ContainsKey(one) && !_parked.ContainsKey(other);
    }

    public void CutOff(RuntimeClient client, bool cut) => Change(() => Set(_cutOff, client, cut));

    public void CutWay(RuntimeClient from, RuntimeClient to, bool cut) => Change(() => Set(_cutWays, (from, to), cut));

    public void Delay(RuntimeClient from, RuntimeClient to, TimeSpan delay) => Change(() =>
    {
        if (delay > TimeSpan.Zero) _delays[(from, to)] = delay;
        else _delays.Remove((from, to));
    });

    public void Lose(double share, int seed) => Change(() => (_lossShare, _random) = (share, new Random(seed)));

    public void Freeze(RuntimeClient client) => Change(() => _parked.TryAdd(client, []));

    /// <summary>What came and what was to leave meanwhile moves on, in its order.</summary>
    public void Thaw(RuntimeClient client)
    {
        List<Action>? parked = null;
        Change(() => _parked.Remove(client, out parked));
        foreach (var message in parked ?? []) message();
    }

    private void Carry(RuntimeClient from, RuntimeClient to, Action deliver)
    {
        TimeSpan delay;
        lock (_gate)
        {
            if (_parked.TryGetValue(from, out var waiting))
            {
                waiting.Add(() => Carry(from, to, deliver));
                return;
            }

            if (from.IsGone || to.IsGone || IsCut(from, to) || (_lossShare > 0 && _random.NextDouble() < _lossShare))
            {
                _lost++;
                return;
            }

            _delays.TryGetValue((from, to), out delay);
        }

        if (delay <= TimeSpan.Zero) Arrive(to, deliver);
        else After(from.Cluster.Time, delay, () => Arrive(to, deliver));
    }

    private void Arrive(RuntimeClient to, Action deliver)
    {
        lock (_gate)
        {
            if (to.IsGone) return;
            if (_parked.TryGetValue(to, out var waiting))
            {
                waiting.Add(deliver);
                return;
            }
        }

        deliver();
    }

    /// <summary>Under the lock.</summary>
    private bool IsCut(RuntimeClient from, RuntimeClient to) => _cutOff.Contains(from) != _cutOff.Contains(to) || _cutWays.Contains((from, to));

    private void Change(Action change)
    {
        lock (_gate)
        {
            change();
            _anyFault = _cutOff.Count + _cutWays.Count + _delays.Count + _parked.Count > 0 || _lossShare > 0;
        }

        Changed?.Invoke();
    }

    private static void Set<T>(HashSet<T> set, T item, bool contained)
    {
        if (contained) set.Add(item);
        else set.Remove(item);
    }

    internal static void After(TimeProvider time, TimeSpan delay, Action action)
    {
        ITimer? timer = null;
        timer = time.CreateTimer(
            _ =>
            {
                timer?.Dispose();
                action();
            },
            null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        timer.Change(delay, Timeout.InfiniteTimeSpan);
    }
}
