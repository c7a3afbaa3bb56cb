namespace Granary.Engine.Kv;

/// <summary>Which block holds which prefix.</summary>
/// <remarks>
/// A block's name finds it, and what it holds is then compared: its tokens, and the block before it by the number that one got when
/// it was added (numbers are never used twice; the first block's salt is compared instead). So two prefixes with the same name
/// cost a miss, never a wrong answer.
/// </remarks>
internal sealed class PrefixIndex(int blockCount, int blockTokens)
{
    /// <summary>Number of "no block before".</summary>
    public const long NoParent = 0;

    private readonly Dictionary<UInt128, int> _blocks = new(blockCount);
    private readonly Entry[] _entries = new Entry[blockCount];
    private readonly int[] _tokens = new int[(long)blockCount * blockTokens];
    private long _added;

    public int Count => _blocks.Count;

    public bool Contains(int block) => _entries[block].Number != 0;

    /// <summary>The number under which a block was added.</summary>
    public long NumberOf(int block) => _entries[block].Number;

    public UInt128 NameOf(int block) => _entries[block].Name;

    /// <returns>The block of that name; -1 when there is none.</returns>
    public int Find(UInt128 name) => _blocks.TryGetValue(name, out var block) ? block : -1;

    /// <returns>The block that holds these tokens after that parent; -1 when none does.</returns>
    public int Find(UInt128 name, ReadOnlySpan<int> tokens, long parent, string? salt)
    {
        if (!_blocks.TryGetValue(name, out var block)) return -1;
        ref readonly var entry = ref _entries[block];
        return entry.Parent == parent && (parent != NoParent || entry.Salt == salt) && tokens.SequenceEqual(TokensOf(block)) ? block : -1;
    }

    /// <summary>Adds a full block. Does nothing when the name is taken.</summary>
    public bool TryAdd(int block, UInt128 name, ReadOnlySpan<int> tokens, long parent, string? salt)
    {
        if (!_blocks.TryAdd(name, block)) return false;
        _entries[block] = new(name, ++_added, parent, salt);
        tokens.CopyTo(TokensOf(block));
        return true;
    }

    /// <summary>Adds a copy of another index's block, under the same number. Does nothing when the name is taken.</summary>
    /// <remarks>So a block that comes back is what those behind it were added to.</remarks>
    public bool TryAdd(int block, PrefixIndex source, int copied)
    {
        if (!_blocks.TryAdd(source._entries[copied].Name, block)) return false;
        _entries[block] = source._entries[copied];
        source.TokensOf(copied).CopyTo(TokensOf(block));
        return true;
    }

    public void Remove(int block)
    {
        _blocks.Remove(_entries[block].Name);
        _entries[block] = default;
    }

    private Span<int> TokensOf(int block) => _tokens.AsSpan(block * blockTokens, blockTokens);

    private readonly record struct Entry(UInt128 Name, long Number, long Parent, string? Salt);
}
