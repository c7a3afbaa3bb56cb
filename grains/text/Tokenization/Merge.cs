namespace Granary.Text.Tokenization;

/// <summary>Two neighbouring tokens, by id.</summary>
/// <remarks>Not one long: its hash would be the ids' exclusive or, by which every pair of equal ids collides.</remarks>
internal readonly record struct TokenPair(int Left, int Right);

/// <summary>What a pair becomes, and how early.</summary>
internal readonly record struct Merge(int Rank, int Id);
