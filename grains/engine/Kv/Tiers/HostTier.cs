using System.Runtime.InteropServices;
using Granary.Engine.Execution;

namespace Granary.Engine.Kv.Tiers;

/// <summary>Copies of cached blocks in the host's memory: a block goes there when the device needs its place, and comes back when it is asked for.</summary>
/// <remarks>
/// A copy stays when its block comes back, so that it is not made twice. It is found as the device's are: by name, tokens and the number of the block before
/// it, which all copies of a block keep. Least recently used first, copies make room, and go to the disk if there is one. Belongs to the engine's thread.
/// Pages that no copy has used yet are address space only.
/// </remarks>
internal sealed unsafe class HostTier : IDisposable
{
    private readonly IKvBlockStore _device;
    private readonly KvEventLog? _events;
    private readonly TierCounters _counters;
    private readonly PrefixIndex _index;
    private readonly BlockPool _slots; // A slot that is referenced is in use for the moment; one that is free may hold a copy.
    private readonly uint[] _checksums;
    private readonly int _blockTokens;
    private byte* _memory;

    /// <param name="bytes">Memory for copies, enough for one at least.</param>
    public HostTier(long bytes, int blockTokens, IKvBlockStore device, TierCounters counters, KvEventLog? events)
    {
        var count = (int)Math.Min(bytes / device.BlockBytes, int.MaxValue / blockTokens);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1, nameof(bytes));
        (_device, _counters, _events, _blockTokens) = (device, counters, events, blockTokens);
        _index = new(count, blockTokens);
        _slots = new(count);
        _checksums = new uint[count];
        counters.HostBytes = (long)count * device.BlockBytes;
        _memory = (byte*)NativeMemory.Alloc(checked((nuint)counters.HostBytes));
        events?.Reserve(KvBlockTier.Host, count);
    }

    ~HostTier() => Free();

    /// <summary>Where copies go that have to make room.</summary>
    public DiskTier? Below { get; set; }

    /// <summary>Copies that it holds.</summary>
    public int Count => _index.Count;

    /// <returns>The slot that holds these tokens after that parent; -1 when none does.</returns>
    public int Find(UInt128 name, ReadOnlySpan<int> tokens, long parent, string? salt) => _index.Find(name, tokens, parent, salt);

    /// <returns>The slot of that name; -1 when there is none.</returns>
    public int Find(UInt128 name) => _index.Find(name);

    public long NumberOf(int slot) => _index.NumberOf(slot);

    /// <summary>Keeps what the device is about to write over.</summary>
    public void Keep(PrefixIndex blocks, int block)
    {
        if (!TryMakeRoom(blocks, block, out var slot)) return;
        var content = ContentOf(slot);
        _device.Read(block, content);
        Fill(slot, blocks, block, BlockChecksum.Of(blocks.NameOf(block), content));
    }

    /// <summary>Keeps what came back from the disk.</summary>
    public void Keep(PrefixIndex blocks, int block, ReadOnlySpan<byte> content, uint checksum)
    {
        if (!TryMakeRoom(blocks, block, out var slot)) return;
        content.CopyTo(ContentOf(slot));
        Fill(slot, blocks, block, checksum);
    }

    /// <summary>Makes sure that a slot keeps its copy until <see cref="Restore"/>, if the copy is what it was.</summary>
    /// <returns><see langword="false"/> when it is not: it is dropped then.</returns>
    public bool TryHold(int slot)
    {
        _slots.Acquire(slot);
        if (_checksums[slot] == BlockChecksum.Of(_index.NameOf(slot), ContentOf(slot))) return true;

        _counters.Corrupt++;
        Remove(slot);
        _slots.Release(slot, cached: false);
        return false;
    }

    /// <summary>Gives the device a copy that is held, and lets go of it.</summary>
    public void Restore(int slot, PrefixIndex blocks, int block)
    {
        _device.Write(block, ContentOf(slot));
        blocks.TryAdd(block, _index, slot);
        _slots.Release(slot, cached: true);
        _counters.Hits += _blockTokens;
        _counters.Bytes += _device.BlockBytes;
    }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    /// <summary>Changes one bit of what a slot holds, as failing memory does; for tests.</summary>
    internal void FlipBit(int slot) => ContentOf(slot)[_device.BlockBytes / 2] ^= 4;

    /// <returns><see langword="false"/> when nothing is to be copied: it is there, or all slots are in use for the moment.</returns>
    private bool TryMakeRoom(PrefixIndex blocks, int block, out int slot)
    {
        slot = _index.Find(blocks.NameOf(block));
        if (slot >= 0)
        {
            var same = _index.NumberOf(slot) == blocks.NumberOf(block);
            if (!same && _slots.ReferencesOf(slot) > 0) return false;
            _slots.Acquire(slot);
            if (!same) Remove(slot);
            _slots.Release(slot, cached: same); // Used last, or free.
            if (same) return false;
        }

        if (!_slots.TryAllocate(out slot)) return false;
        if (!_index.Contains(slot)) return true;
        Below?.Keep(_index, slot, ContentOf(slot), _checksums[slot]);
        Remove(slot);
        return true;
    }

    private void Fill(int slot, PrefixIndex blocks, int block, uint checksum)
    {
        _checksums[slot] = checksum;
        _index.TryAdd(slot, blocks, block);
        _slots.Release(slot, cached: true);
        _counters.Bytes += _device.BlockBytes;
        _counters.HostBytesTouched = Math.Max(_counters.HostBytesTouched, (slot + 1L) * _device.BlockBytes); // Slots are given out in order.
        _events?.Stored(KvBlockTier.Host, slot, _index.NameOf(slot));
    }

    private void Remove(int slot)
    {
        _index.Remove(slot);
        _events?.Removed(KvBlockTier.Host, slot);
    }

    private Span<byte> ContentOf(int slot) => new(_memory + ((nuint)slot * (nuint)_device.BlockBytes), _device.BlockBytes);

    private void Free()
    {
        NativeMemory.Free(_memory);
        _memory = null;
    }
}
