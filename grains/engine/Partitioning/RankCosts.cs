namespace Granary.Engine.Partitioning;

/// <summary>What one rank of a stage takes, of memory and of time, by the number of its layers.</summary>
/// <remarks>
/// Bytes are what an executor holds: float matrices padded to 16 outputs, quantized ones as integers with a scale and a sum a
/// block, biases whether the family has them or not, and the sum of all activations of the largest step although buffers are reused.
/// Embedding and head are two tables even where they are tied: one is gathered from as it is, the other is laid out for products.
/// </remarks>
internal sealed class RankCosts
{
    /// <summary>Rows of the step whose time is predicted: a handful of decoding sequences.</summary>
    public const int Rows = 8;

    private const int Float = sizeof(float);

    // Tensors are mapped from files, each from a page of its own; a layer has at most a dozen, all the rest fewer.
    private const long PageBytes = 4096, Tensors = 12;

    // A session's own: graph, thread pool, the arena's slack.
    private const long SessionBytes = 16 << 20;

    private readonly ModelShape _model;
    private readonly ShardSlice _slice;
    private readonly int _element;
    private readonly long _activationBytes;
    private readonly long _logitsBytes;
    private readonly long _leaderBytes;

    /// <param name="model">The whole model.</param>
    /// <param name="slice">The rank's part of each layer, and of embedding and head.</param>
    /// <param name="request">The largest step.</param>
    public RankCosts(ModelShape model, ShardSlice slice, PartitionRequest request)
    {
        (_model, _slice) = (model, slice);
        _element = model.WeightBits == 16 ? 2 : Float;
        long hidden = model.HiddenSize, heads = (long)slice.Heads.Count * model.HeadSize, kv = (long)slice.KvHeads.Count * model.HeadSize, inner = slice.Intermediate.Count;
        LayerWeightBytes = Matrix(heads + (2 * kv), hidden) + Matrix(hidden, heads) + Matrix(2 * inner, hidden) + Matrix(hidden, inner)
            + (_element * (heads + (2 * kv) + (2 * inner) + (4 * hidden) + (2L * model.HeadSize))) + (Tensors * PageBytes);
        LayerMultiplyAdds = (double)hidden * ((2 * heads) + (2 * kv) + (3 * inner));
        KvTokenBytes = 2 * kv * _element;
        // Of several ranks each has a row of zeros, for ids that others look up.
        EmbeddingBytes = _element * hidden * (slice.Vocabulary.Count + (slice.Ranks > 1 ? 1 : 0));
        HeadBytes = Matrix(slice.Vocabulary.Count, hidden) + (Float * hidden);
        // Residual, norms, sums and products; packed heads and their attention; gate, up, and their product; what comes in and goes out.
        _activationBytes = Float * (long)request.MaxTokensPerStep * ((8 * hidden) + (2 * heads) + (2 * kv) + (4 * inner));
        _logitsBytes = Float * (((long)request.MaxLogitRows * slice.Vocabulary.Count) + (request.MaxTokensPerStep * hidden));
        _leaderBytes = Float * (long)request.MaxLogitRows * model.VocabularySize;
    }

    public ShardSlice Slice => _slice;

    public long LayerWeightBytes { get; }

    /// <summary>Multiply-adds of one row through one layer.</summary>
    public double LayerMultiplyAdds { get; }

    /// <summary>Of keys and values of one token in one layer.</summary>
    public long KvTokenBytes { get; }

    public long EmbeddingBytes { get; }

    public long HeadBytes { get; }

    public long WeightBytes(int layers, StageRole role) =>
        (layers * LayerWeightBytes) + RotaryBytes + (Tensors * PageBytes) + (role.IsFirst ? EmbeddingBytes : 0) + (role.IsLast ? HeadBytes : 0);

    public long KvBytes(int layers, long tokens) => layers * tokens * KvTokenBytes;

    /// <summary>The leader's engine fetches whole rows of logits; that is rank 0 of the first stage.</summary>
    public long WorkspaceBytes(StageRole role)
    {
        var isWhole = role is { IsFirst: true, IsLast: true } && _slice.Ranks == 1;
        var isLeader = role.IsFirst && _slice.Place.Rank == 0;
        return SessionBytes + _activationBytes + (role.IsLast ? _logitsBytes : 0) + (isLeader && !isWhole ? _leaderBytes : 0);
    }

    /// <summary>Bytes that a step reads at least: weights once, rows of the embedding.</summary>
    public double ReadBytes(int layers, StageRole role) =>
        ((double)layers * LayerWeightBytes) + (role.IsFirst ? (double)Float * Rows * _model.HiddenSize : 0) + (role.IsLast ? HeadBytes : 0);

    /// <summary>Multiply-adds of a step of <see cref="Rows"/> rows.</summary>
    public double MultiplyAdds(int layers, StageRole role) =>
        Rows * ((layers * LayerMultiplyAdds) + (role.IsLast ? (double)_model.HiddenSize * _slice.Vocabulary.Count : 0));

    private long RotaryBytes => Float * (long)_model.ContextLength * _model.HeadSize;

    private long Matrix(long outputs, long inputs) => _model.WeightBits >= 16
        ? _element * ((outputs + 15) / 16 * 16) * inputs
        : outputs * ((inputs + 31) / 32) * ((32 * _model.WeightBits / 8) + (2 * Float));
}

/// <summary>Whether a stage has the embedding, and whether it has the head.</summary>
internal readonly record struct StageRole(bool IsFirst, bool IsLast)
{
    public static StageRole Of(int stage, int stages) => new(stage == 0, stage == stages - 1);
}
