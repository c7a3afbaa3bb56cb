namespace Granary.Engine.Kv;

/// <summary>The KV blocks of one sequence in order, and how far they are known to the prefix index.</summary>
/// <remarks>Changed by <see cref="KvCache"/> only.</remarks>
internal sealed class BlockTable(string? salt)
{
    private int[] _blocks = new int[8];
    private UInt128[] _names = [];

    public string? Salt { get; } = salt;

    public int Count { get; private set; }

    public ReadOnlySpan<int> Blocks => _blocks.AsSpan(0, Count);

    /// <summary>Leading blocks that are in the index, or whose name is taken by another prefix.</summary>
    public int Indexed { get; set; }

    /// <summary>Number in the index of block <see cref="Indexed"/> - 1; negative once that chain is broken.</summary>
    public long LastNumber { get; set; } = PrefixIndex.NoParent;

    /// <summary>Leading blocks of which copies have been waited for.</summary>
    public int Fetched { get; set; }

    private int NamedCount { get; set; }

    public void Add(int block)
    {
        if (Count == _blocks.Length) Array.Resize(ref _blocks, Count * 2);
        _blocks[Count++] = block;
    }

    public void Replace(int index, int block) => _blocks[index] = block;

    public void Clear()
    {
        Count = 0;
        Indexed = 0;
        LastNumber = PrefixIndex.NoParent;
    }

    /// <summary>The name of a full block; computed once, as the tokens of a sequence only ever grow.</summary>
    public UInt128 NameOf(int index, ReadOnlySpan<int> tokens, int blockTokens, BlockNamer namer)
    {
        if (index >= _names.Length) Array.Resize(ref _names, Math.Max(index + 1, _names.Length * 2));
        for (; NamedCount <= index; NamedCount++)
        {
            var previous = NamedCount == 0 ? BlockHash.Root(Salt) : _names[NamedCount - 1];
            _names[NamedCount] = namer(previous, tokens.Slice(NamedCount * blockTokens, blockTokens));
        }

        return _names[index];
    }
}

/// <summary>Names a block from the name before it and its tokens.</summary>
internal delegate UInt128 BlockNamer(UInt128 previous, ReadOnlySpan<int> tokens);
