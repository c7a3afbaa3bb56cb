namespace Granary.Sharding.Links;

/// <summary>Keeps all links of a transport from falling silent, and ends those whose peer has.</summary>
/// <remarks>
/// On the system's clock a thread of its own does it, which waits for no other: a pool that is busy for a second must not cost a replica its life. It is
/// there while there are links. On any other clock its timers do. While this process itself was kept from running, it could not hear: of the time between
/// two looks no more than a pulse's period counts as silence.
/// </remarks>
internal sealed class LinkMonitor(LinkOptions options, TimeProvider time)
{
    // Half, so that a link that fell quiet right after a look is pulsed well before the period has passed twice.
    private readonly TimeSpan _period = options.PulsePeriod / 2;
    private readonly object _gate = new();
    private readonly List<TensorLink> _links = [];
    private bool _running;
    private long _looked;

    public int Count
    {
        get
        {
            lock (_gate) return _links.Count;
        }
    }

    public void Add(TensorLink link)
    {
        lock (_gate)
        {
            _links.Add(link);
            if (_running) return;
            _running = true;
            _looked = time.GetTimestamp();
            if (time == TimeProvider.System) new Thread(Run) { IsBackground = true, Name = "tensor link pulses" }.Start();
            else Arm();
        }
    }

    public void Remove(TensorLink link)
    {
        lock (_gate)
        {
            _links.Remove(link);
            if (_links.Count == 0) Monitor.PulseAll(_gate);
        }
    }

    private void Run()
    {
        while (true)
        {
            TensorLink[] links;
            lock (_gate)
            {
                if (_links.Count > 0) Monitor.Wait(_gate, _period);
                if (_links.Count == 0)
                {
                    _running = false;
                    return;
                }

                links = [.. _links];
            }

            Look(links);
        }
    }

    private void Look(TensorLink[] links)
    {
        var now = time.GetTimestamp();
        var counted = time.GetElapsedTime(_looked, now);
        if (counted > options.PulsePeriod) counted = options.PulsePeriod;
        _looked = now;
        foreach (var link in links) link.Tick(counted);
    }

    private void Arm()
    {
        ITimer? timer = null;
        timer = time.CreateTimer(_ => OnTimer(timer!), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        timer.Change(_period, Timeout.InfiniteTimeSpan);
    }

    private void OnTimer(ITimer timer)
    {
        TensorLink[] links;
        lock (_gate) links = [.. _links];
        Look(links);
        lock (_gate)
        {
            _running = _links.Count > 0;
            if (!_running) timer.Dispose();
            else timer.Change(_period, Timeout.InfiniteTimeSpan);
        }
    }
}
