using Granary.Engine.Execution;

namespace Granary.Engine.Kv.Tiers;

/// <summary>Copies of cached blocks on a disk, which leave the host's memory and come back to it before a sequence that waits for them starts.</summary>
/// <remarks>
/// Belongs to the engine's thread, which never waits for the disk: a worker reads and writes (<see cref="DiskWorker"/>). What the worker is behind with is
/// dropped, and computed again when it is needed. A copy whose checksum does not fit is one that was never there.
/// </remarks>
internal sealed class DiskTier : IDisposable
{
    private readonly HostTier _host;
    private readonly TierCounters _counters;
    private readonly KvEventLog? _events;
    private readonly DiskWorker _worker;
    private readonly PrefixIndex _index;
    private readonly BlockPool _slots; // A slot that is referenced is being read or written.
    private readonly uint[] _checksums;
    private readonly bool[] _reading;
    private readonly int _blockBytes;

    /// <param name="file">The tier's from now on.</param>
    /// <param name="wake">Lets the engine's thread call <see cref="TakeDone"/>.</param>
    public DiskTier(IKvSlots file, int blockTokens, int blockBytes, HostTier host, TierCounters counters, KvEventLog? events, Action wake)
    {
        (_host, _counters, _events, _blockBytes) = (host, counters, events, blockBytes);
        _index = new(file.Count, blockTokens);
        _slots = new(file.Count);
        _checksums = new uint[file.Count];
        _reading = new bool[file.Count];
        _worker = new(file, blockBytes, wake);
        events?.Reserve(KvBlockTier.Disk, file.Count);
    }

    /// <summary>Writes what the host is about to give up, if the disk keeps up.</summary>
    public void Keep(PrefixIndex blocks, int block, ReadOnlySpan<byte> content, uint checksum)
    {
        var held = _index.Find(blocks.NameOf(block));
        if (held >= 0)
        {
            if (_slots.ReferencesOf(held) > 0) return;
            var same = _index.NumberOf(held) == blocks.NumberOf(block);
            _slots.Acquire(held);
            if (!same) Remove(held);
            _slots.Release(held, cached: same);
            if (same) return;
        }

        if (_slots.FreeCount == 0 || !_worker.TryRent(out var buffer))
        {
            _counters.Dropped++;
            return;
        }

        _slots.TryAllocate(out var slot);
        if (_index.Contains(slot)) Remove(slot);
        _index.TryAdd(slot, blocks, block);
        _checksums[slot] = checksum;
        content.CopyTo(buffer);
        _worker.Write(slot, buffer);
    }

    /// <summary>Begins to read a block that the host lacks.</summary>
    /// <param name="number">The block's, where it is on its way.</param>
    /// <returns>Whether it will be there, unless the disk fails.</returns>
    public bool TryFetch(UInt128 name, ReadOnlySpan<int> tokens, long parent, string? salt, out long number)
    {
        number = 0;
        var slot = _index.Find(name, tokens, parent, salt);
        if (slot < 0) return false;
        number = _index.NumberOf(slot);
        if (_reading[slot]) return true;
        if (_slots.ReferencesOf(slot) > 0 || !_worker.TryRent(out var buffer)) return false;

        _slots.Acquire(slot);
        _reading[slot] = true;
        _worker.Read(slot, buffer);
        return true;
    }

    /// <summary>Whether such a block is on its way.</summary>
    public bool IsFetching(UInt128 name, ReadOnlySpan<int> tokens, long parent, string? salt) =>
        _index.Find(name, tokens, parent, salt) is var slot and >= 0 && _reading[slot];

    /// <summary>Takes in what the worker has done.</summary>
    public void TakeDone()
    {
        while (_worker.TryTake(out var done))
        {
            var (slot, content) = (done.Slot, done.Buffer);
            if (done.IsWrite) Written(slot, done.Failed);
            else Read(slot, content, done.Failed);
            _worker.Return(content);
        }
    }

    public void Dispose() => _worker.Dispose();

    private void Written(int slot, bool failed)
    {
        if (failed)
        {
            _counters.Dropped++;
            _index.Remove(slot);
        }
        else
        {
            _counters.Bytes += _blockBytes;
            _events?.Stored(KvBlockTier.Disk, slot, _index.NameOf(slot));
        }

        _slots.Release(slot, cached: !failed);
    }

    private void Read(int slot, byte[] content, bool failed)
    {
        _reading[slot] = false;
        var good = !failed && BlockChecksum.Of(_index.NameOf(slot), content) == _checksums[slot];
        if (good)
        {
            _counters.Bytes += _blockBytes;
            _host.Keep(_index, slot, content, _checksums[slot]);
        }
        else
        {
            _counters.Corrupt++;
            Remove(slot);
        }

        _slots.Release(slot, cached: good);
    }

    private void Remove(int slot)
    {
        _index.Remove(slot);
        _events?.Removed(KvBlockTier.Disk, slot);
    }
}
