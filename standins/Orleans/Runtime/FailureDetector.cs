namespace Orleans.Runtime;

/// <summary>Finds silos that do not answer and declares them dead, as probes of genuine silos do, only that it sees what a probe would find.</summary>
/// <remarks>Off unless a test switches it on: then nothing but an end or an eviction changes the membership.</remarks>
internal sealed class FailureDetector
{
    private readonly Lock _gate = new();
    private readonly InProcessCluster _cluster;
    private readonly Dictionary<SiloRuntime, ITimer> _suspects = [];
    private TimeSpan _crashed;
    private TimeSpan _silent;

    public FailureDetector(InProcessCluster cluster)
    {
        _cluster = cluster;
        cluster.Network.Changed += Look;
        cluster.StatusChanged += (_, _) => Look();
    }

    /// <param name="crashed">How long until a process that is gone is declared dead: its connections are refused.</param>
    /// <param name="silent">How long until one that does not answer is.</param>
    public void Start(TimeSpan crashed, TimeSpan silent) => (_crashed, _silent) = (crashed, silent);

    /// <summary>Something has changed: begins and ends suspicions.</summary>
    public void Look()
    {
        if (_silent == TimeSpan.Zero) return;
        lock (_gate)
        {
            var active = _cluster.ActiveSilos;
            foreach (var silo in active)
            {
                if (IsLost(silo, active)) Suspect(silo);
                else Clear(silo);
            }

            foreach (var gone in _suspects.Keys.Except(active).ToList()) Clear(gone);
        }
    }

    /// <summary>Two of the others have to miss it, or half of a small cluster.</summary>
    private bool IsLost(SiloRuntime silo, IReadOnlyCollection<SiloRuntime> active)
    {
        var votes = active.Count(other => other != silo && !other.IsGone && !other.IsPaused && !_cluster.Network.IsConnected(other, silo));
        return votes > 0 && votes >= Math.Min(2, (active.Count + 1) / 2);
    }

    /// <summary>Under the lock.</summary>
    private void Suspect(SiloRuntime silo)
    {
        if (_suspects.ContainsKey(silo)) return;
        var timer = _cluster.Time.CreateTimer(static silo => ((SiloRuntime)silo!).Cluster.Failures.Condemn((SiloRuntime)silo), silo, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _suspects.Add(silo, timer);
        timer.Change(silo.IsGone ? _crashed : _silent, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Under the lock.</summary>
    private void Clear(SiloRuntime silo)
    {
        if (_suspects.Remove(silo, out var timer)) timer.Dispose();
    }

    private void Condemn(SiloRuntime silo)
    {
        lock (_gate)
        {
            if (!_suspects.ContainsKey(silo)) return;
            Clear(silo);
        }

        if (silo.IsGone) silo.Declare();
        else silo.Evict();
    }
}
