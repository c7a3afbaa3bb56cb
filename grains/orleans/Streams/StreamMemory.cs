using Microsoft.Extensions.Options;

namespace Granary.Grains.Streams;

/// <summary>Counts what journals take of this silo's memory, and names those that were written least recently where it is too much.</summary>
internal sealed class StreamMemory(IOptions<StreamJournalOptions> options)
{
    /// <summary>What an activation takes besides its content, roughly.</summary>
    internal const int BytesOfAnActivation = 8 << 10;

    private readonly long _max = options.Value.MemoryBytes;
    private readonly Lock _gate = new();
    private readonly LinkedList<(string Id, long Bytes)> _byWrite = [];
    private readonly Dictionary<string, LinkedListNode<(string Id, long Bytes)>> _byId = new(StringComparer.Ordinal);
    private long _bytes;

    public (int Streams, long Bytes) Held
    {
        get
        {
            lock (_gate) return (_byId.Count, _bytes);
        }
    }

    /// <summary>Counts a stream that was just written with all that it has.</summary>
    /// <returns>Others that have to go; they are counted out already.</returns>
    public IReadOnlyList<string> Set(string id, long contentBytes)
    {
        var excess = new List<string>();
        lock (_gate)
        {
            Forget(id);
            var bytes = contentBytes + BytesOfAnActivation;
            _byId[id] = _byWrite.AddLast((id, bytes));
            _bytes += bytes;
            while (_bytes > _max && _byWrite.First!.Value.Id != id)
            {
                excess.Add(_byWrite.First.Value.Id);
                Forget(_byWrite.First.Value.Id);
            }
        }

        return excess;
    }

    /// <summary>Counts a stream out; nothing where it is not counted.</summary>
    public void Remove(string id)
    {
        lock (_gate) Forget(id);
    }

    private void Forget(string id)
    {
        if (!_byId.Remove(id, out var node)) return;
        _byWrite.Remove(node);
        _bytes -= node.Value.Bytes;
    }
}
