using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Routing;

/// <summary>One life of a replica that a router watches, and the question under way.</summary>
/// <remarks>On the turns of its router. What is heard of it is in the router's table.</remarks>
internal sealed class WatchedLife : IDisposable
{
    /// <summary>Requests whose reports of a loss are remembered: one that is sent elsewhere names its losses again each time.</summary>
    private const int MaxReporters = 1024;

    private readonly CancellationTokenSource _over = new();
    private readonly HashSet<string> _reporters = new(StringComparer.Ordinal);
    private CancellationTokenSource? _asked;

    public WatchedLife(ReplicaDescriptor descriptor) => (Descriptor, Over) = (descriptor, _over.Token);

    public ReplicaDescriptor Descriptor { get; }

    public ReplicaLife Life => Descriptor.Replica;

    /// <summary>Which activation of the model's grain last told that it lives.</summary>
    public long ToldBy { get; set; }

    /// <summary>Cancelled when the epoch has ended, or the router has forgotten it.</summary>
    public CancellationToken Over { get; }

    public bool IsOver => Over.IsCancellationRequested;

    /// <summary>Begins a question; it is broken off when the life is over, and by <see cref="AskAgain"/>.</summary>
    public CancellationTokenSource Ask()
    {
        _asked?.Dispose();
        return _asked = CancellationTokenSource.CreateLinkedTokenSource(Over);
    }

    /// <summary>The question under way does not count any more.</summary>
    public void AskAgain() => _ = _asked?.CancelAsync(); // Not within the turn that lost it.

    /// <returns>False for a loss that this request has reported before.</returns>
    public bool IsNewLoss(string requestId)
    {
        if (_reporters.Count == MaxReporters) _reporters.Clear();
        return _reporters.Add(requestId);
    }

    public void Dispose()
    {
        if (IsOver) return;
        _over.Cancel();
        _asked?.Dispose();
        _over.Dispose();
    }
}
