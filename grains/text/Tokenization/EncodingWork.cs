namespace Granary.Text.Tokenization;

/// <summary>The lists that one encoding needs, kept for the next so that encoding allocates its result and little else.</summary>
internal sealed class EncodingWork
{
    /// <summary>Most items a list may have to be kept; a tokenizer holds one such work, so a few MB at most.</summary>
    private const int MaxKept = 1 << 18;

    public IdList Ids { get; } = new(1024);
    public List<(int Start, int Length, AddedToken? Token)> Raw { get; } = [];
    public List<(int Start, int Length, AddedToken? Token)> Normalized { get; } = [];
    public List<Piece> Pieces { get; } = [];
    public List<Piece> NextPieces { get; } = [];

    /// <summary>A field, so that it can be changed where it stands.</summary>
    public LibraryShare Share;

    /// <summary>Makes it ready for another text, unless this one made it too large to keep.</summary>
    public bool TryClear()
    {
        if (Math.Max(Ids.Count, Math.Max(Math.Max(Pieces.Capacity, NextPieces.Capacity), Math.Max(Raw.Capacity, Normalized.Capacity))) > MaxKept) return false;
        Ids.Clear();
        Raw.Clear();
        Normalized.Clear();
        Pieces.Clear(); // Pieces hold on to their text.
        NextPieces.Clear();
        Share = default;
        return true;
    }
}
