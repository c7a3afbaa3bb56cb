using Microsoft.Extensions.Options;

namespace Granary.Grains.Sessions;

/// <summary>Counts what stored responses take of this silo's memory, and names the oldest where it is too much.</summary>
internal sealed class StoredResponseMemory(IOptions<StoredResponseOptions> options)
{
    /// <summary>What an activation and its record take besides their content, roughly.</summary>
    internal const int BytesOfAnActivation = 8 << 10;

    private readonly long _max = options.Value.MemoryBytes;
    private readonly Lock _gate = new();
    private readonly LinkedList<(string Id, long Bytes)> _byAge = [];
    private readonly Dictionary<string, LinkedListNode<(string Id, long Bytes)>> _byId = [];
    private long _bytes;

    /// <summary>Whether the storage is memory, so that somebody has to bound it.</summary>
    public bool IsBounded => _max > 0;

    public (int Responses, long Bytes) Held
    {
        get
        {
            lock (_gate) return (_byId.Count, _bytes);
        }
    }

    /// <summary>Counts a response in.</summary>
    /// <returns>The oldest others that have to go; they are counted out already.</returns>
    public IReadOnlyList<string> Add(string id, long contentBytes)
    {
        var excess = new List<string>();
        lock (_gate)
        {
            var bytes = contentBytes + BytesOfAnActivation;
            Forget(id);
            _byId[id] = _byAge.AddLast((id, bytes));
            _bytes += bytes;
            while (_bytes > _max && _byAge.First!.Value.Id != id)
            {
                excess.Add(_byAge.First.Value.Id);
                Forget(_byAge.First.Value.Id);
            }
        }

        return excess;
    }

    /// <summary>Counts a response out; nothing where it is not counted.</summary>
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
