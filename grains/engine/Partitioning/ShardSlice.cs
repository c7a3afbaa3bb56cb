namespace Granary.Engine.Partitioning;

/// <summary>A run of equal things: layers, heads, columns, vocabulary rows.</summary>
public readonly record struct Slice(int First, int Count)
{
    /// <summary>The first that is not in it.</summary>
    public int End => First + Count;
}

/// <summary>A shard's place in its replica.</summary>
/// <param name="Stage">Of the pipeline, from 0.</param>
/// <param name="Rank">Of the tensor split, from 0.</param>
public readonly record struct ShardPlace(int Stage, int Rank)
{
    /// <summary>Stage 0, rank 0: where the engine is.</summary>
    public bool IsLeader => this == default;

    public override string ToString() => $"{Stage}.{Rank}";
}

/// <summary>What one shard holds of a model: pipeline stage <c>s</c> of P, tensor rank <c>r</c> of T.</summary>
/// <remarks>
/// Column-parallel: query, key, value, gate and up give the rank its heads and feed-forward columns; row-parallel: output and down take
/// those and give a partial sum [T, hidden], which all ranks of the stage add up, in the order of ranks. Embedding (first stage) and head
/// (last stage) are cut by vocabulary rows.
/// </remarks>
public sealed record ShardSlice
{
    public required ShardPlace Place { get; init; }

    /// <summary>P.</summary>
    public required int Stages { get; init; }

    /// <summary>T.</summary>
    public required int Ranks { get; init; }

    public required Slice Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required Slice Heads { get; init; }

    /// <summary>The key and value heads that <see cref="Heads"/> attend to; where there are fewer of them than ranks, several ranks hold the same one.</summary>
    public required Slice KvHeads { get; init; }

    /// <summary>Columns of the feed-forward network.</summary>
    public required Slice Intermediate { get; init; }

    /// <summary>Rows of embedding and head.</summary>
    public required Slice Vocabulary { get; init; }

    /// <summary>The one slice of a model that is not cut.</summary>
    public static ShardSlice Whole(ModelShape model) => new()
    {
        Place = default,
        Stages = 1,
        Ranks = 1,
        Layers = new(0, model.LayerCount),
        Heads = new(0, model.HeadCount),
        KvHeads = new(0, model.KvHeadCount),
        Intermediate = new(0, model.IntermediateSize),
        Vocabulary = new(0, model.VocabularySize),
    };

    public bool IsFirstStage => Place.Stage == 0;

    public bool IsLastStage => Place.Stage == Stages - 1;

    public bool IsWhole => Stages == 1 && Ranks == 1;
}
