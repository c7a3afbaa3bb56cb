using Microsoft.Extensions.Options;

namespace Granary.Grains.Sessions;

/// <summary>Counts what grains of one kind take of this silo's memory, and names those that were used longest ago where it is too much.</summary>
/// <param name="max">Most bytes; 0 counts nothing.</param>
internal abstract class HeldMemory(long max)
{
    /// <summary>What an activation and its record take besides their content, roughly.</summary>
    internal const int BytesOfAnActivation = 8 << 10;

    private readonly Lock _gate = new();
    private readonly LinkedList<(string Id, long Bytes)> _byAge = [];
    private readonly Dictionary<string, LinkedListNode<(string Id, long Bytes)>> _byId = [];
    private long _bytes;

    public bool IsBounded => max > 0;

    public (int Grains, long Bytes) Held
    {
        get
        {
            lock (_gate) return (_byId.Count, _bytes);
        }
    }

    /// <summary>Counts a grain in as the newest; one that is counted already anew.</summary>
    /// <returns>The oldest others that have to go; they are counted out already.</returns>
    public IReadOnlyList<string> Add(string id, long contentBytes)
    {
        var excess = new List<string>();
        if (!IsBounded) return excess;
        lock (_gate)
        {
            var bytes = contentBytes + BytesOfAnActivation;
            Forget(id);
            _byId[id] = _byAge.AddLast((id, bytes));
            _bytes += bytes;
            while (_bytes > max && _byAge.First!.Value.Id != id)
            {
                excess.Add(_byAge.First.Value.Id);
                Forget(_byAge.First.Value.Id);
            }
        }

        return excess;
    }

    /// <summary>Whether the grain is counted.</summary>
    public bool Holds(string id)
    {
        lock (_gate) return _byId.ContainsKey(id);
    }

    /// <summary>Counts a grain out; nothing where it is not counted.</summary>
    public void Remove(string id)
    {
        lock (_gate) Forget(id);
    }

    private void Forget(string id)
    {
        if (!_byId.Remove(id, out var node)) return;
        _byAge.Remove(node);
        _bytes -= node.Value.Bytes;
    }
}

/// <summary>What stored responses take, where the storage is memory.</summary>
internal sealed class StoredResponseMemory(IOptions<StoredResponseOptions> options) : HeldMemory(options.Value.MemoryBytes);

/// <summary>What the histories of active sessions take.</summary>
internal sealed class SessionMemory(IOptions<SessionGrainOptions> options) : HeldMemory(options.Value.MemoryBytes);
