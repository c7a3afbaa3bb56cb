namespace Granary.Text.Tokenization;

/// <summary>Everything the files say about a tokenizer, checked.</summary>
internal sealed record TokenizerParts
{
    public required Dictionary<string, int> Vocabulary { get; init; }

    public required Dictionary<TokenPair, Merge> Merges { get; init; }

    public string? UnknownToken { get; init; }
    public bool ByteFallback { get; init; }
    public bool FuseUnknown { get; init; }
    public bool IgnoreMerges { get; init; }
    public required bool ByteLevel { get; init; }
    public required IReadOnlyList<AddedToken> Added { get; init; }
    public Normalizer? Normalizer { get; init; }
    public required IReadOnlyList<PreTokenizer> PreTokenizers { get; init; }
    public required TokenDecoder Decoder { get; init; }
    public int[] Prefix { get; init; } = [];
    public int[] Suffix { get; init; } = [];
    public string? BosToken { get; init; }
    public string? EosToken { get; init; }
}
