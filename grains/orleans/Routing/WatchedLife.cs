using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Routing;

/// <summary>One life of a replica that a router watches: the question under way, and what was last heard.</summary>
/// <remarks>On the turns of its router.</remarks>
internal sealed class WatchedLife : IDisposable
{
    /// <summary>Requests whose reports of a loss are remembered: one that is sent elsewhere names its losses again each time.</summary>
    private const int MaxReporters = 1024;

    private readonly CancellationTokenSource _over = new();
    private readonly HashSet<string> _reporters = new(StringComparer.Ordinal);
    private CancellationTokenSource? _asked;
    private long? _lostAt;

    public WatchedLife(ReplicaDescriptor descriptor) => (Descriptor, Over) = (descriptor, _over.Token);

    public ReplicaDescriptor Descriptor { get; }

    public ReplicaLife Life => Descriptor.Replica;

    /// <summary>Which activation of the model's grain last told that it lives.</summary>
    public long ToldBy { get; set; }

    public ReplicaLoad? Load { get; private set; }

    /// <summary>False from an answer that did not come, or from a loss, until the answer to a later question.</summary>
    public bool IsReachable { get; private set; } = true;

    /// <summary>Timestamp of the last answer; null before the first.</summary>
    public long? HeardAt { get; private set; }

    /// <summary>Cancelled when the epoch has ended, or the router has forgotten it.</summary>
    public CancellationToken Over { get; }

    public bool IsOver => Over.IsCancellationRequested;

    /// <summary>Begins a question, which ends with the life, and when the life is lost to somebody: then only a later one counts.</summary>
    public CancellationTokenSource Ask()
    {
        _asked?.Dispose();
        return _asked = CancellationTokenSource.CreateLinkedTokenSource(Over);
    }

    /// <param name="askedAt">Timestamp of the question.</param>
    public void Hear(ReplicaLoad load, long askedAt, long now)
    {
        (Load, HeardAt) = (load, now);
        if (_lostAt > askedAt) return;
        (IsReachable, _lostAt) = (true, null);
    }

    public void Miss() => IsReachable = false;

    /// <summary>A request was lost there.</summary>
    public void Lose(string requestId, long now)
    {
        if (_reporters.Count == MaxReporters) _reporters.Clear();
        if (!_reporters.Add(requestId)) return;
        // A loss that is known already was followed by a question, or is about to be.
        if (_lostAt is not null) return;
        (IsReachable, _lostAt) = (false, now);
        _asked?.Cancel();
    }

    /// <summary>The epoch has ended: it never answers again.</summary>
    public void End()
    {
        Miss();
        if (!IsOver) _over.Cancel();
    }

    public void Dispose()
    {
        End();
        _asked?.Dispose();
        _over.Dispose();
    }
}
