namespace Granary.Text.Tokenization;

/// <summary>Remembers the ids of recently seen words: direct-mapped, so bounded, and safe for any number of threads.</summary>
/// <remarks>
/// A slot holds one immutable entry, read and replaced as one reference. Words that share a slot replace each other,
/// so text that was made to collide costs what no cache would cost, and no more.
/// </remarks>
internal sealed class WordCache
{
    /// <summary>Longest word remembered, in chars; longer ones hardly repeat.</summary>
    public const int MaxWordLength = 32;

    private const int SlotCount = 1 << 15;
    private readonly Entry?[] _slots = new Entry?[SlotCount];

    public bool TryGet(ReadOnlySpan<char> word, out int[] ids)
    {
        var entry = Volatile.Read(ref _slots[SlotOf(word)]);
        if (entry is not null && word.SequenceEqual(entry.Word))
        {
            ids = entry.Ids;
            return true;
        }

        ids = [];
        return false;
    }

    public void Set(ReadOnlySpan<char> word, ReadOnlySpan<int> ids) =>
        Volatile.Write(ref _slots[SlotOf(word)], new Entry(word.ToString(), ids.ToArray()));

    private static int SlotOf(ReadOnlySpan<char> word)
    {
        var hash = 2166136261u;
        foreach (var c in word) hash = (hash ^ c) * 16777619u;
        return (int)((hash ^ (hash >> 15)) & (SlotCount - 1));
    }

    private sealed record Entry(string Word, int[] Ids);
}
