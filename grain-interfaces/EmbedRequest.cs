using Orleans;

namespace Granary.GrainInterfaces;

/// <summary>One text to embed, as token ids.</summary>
/// <remarks>Immutable by contract, as <see cref="GenerateRequest"/> is.</remarks>
[GenerateSerializer, Immutable, Alias("granary.embed-request")]
public sealed record EmbedRequest
{
    /// <summary>The caller's id for this text, unique among running requests.</summary>
    [Id(0)]
    public required string RequestId { get; init; }

    /// <summary>The served model's name.</summary>
    [Id(1)]
    public required string Model { get; init; }

    /// <summary>At least one id.</summary>
    [Id(2)]
    public required int[] TokenIds { get; init; }

    /// <summary>How the positions' hidden states become one vector.</summary>
    [Id(3)]
    public PoolingMethod Pooling { get; init; }

    /// <summary>When the caller stops waiting.</summary>
    [Id(4)]
    public DateTimeOffset? Deadline { get; init; }

    /// <summary>Who pays; null for the anonymous tenant.</summary>
    [Id(5)]
    public string? Tenant { get; init; }

    /// <summary>Texts share cached prefixes only with requests of the same salt.</summary>
    [Id(6)]
    public string? CacheSalt { get; init; }

    /// <summary>As <see cref="GenerateRequest.IsSuspect"/>.</summary>
    [Id(7)]
    public bool IsSuspect { get; init; }
}

/// <summary>How hidden states become one vector; the states are those after the final norm, before the head.</summary>
[GenerateSerializer, Alias("granary.pooling-method")]
public enum PoolingMethod
{
    /// <summary>Their mean over all positions.</summary>
    Mean = 0,

    /// <summary>That of the last position.</summary>
    Last = 1,
}

/// <summary>A pooled vector.</summary>
/// <param name="Vector">[hidden size], as pooled: neither normalised nor cut.</param>
/// <param name="CachedTokens">Tokens whose KV was found in the cache.</param>
[GenerateSerializer, Immutable, Alias("granary.embed-result")]
public sealed record EmbedResult([property: Id(0)] float[] Vector, [property: Id(1)] int CachedTokens)
{
    /// <summary>The first components, as many as wanted, of length 1. A vector of zeros, which has no direction, stays one.</summary>
    /// <param name="dimensions">Null for all, as any number beyond them.</param>
    /// <returns>Null where a component is no number.</returns>
    public float[]? Normalize(int? dimensions)
    {
        var vector = Vector[..Math.Min(dimensions ?? Vector.Length, Vector.Length)];
        var squares = 0.0;
        foreach (var component in vector) squares += (double)component * component;
        if (!double.IsFinite(squares)) return null;
        if (squares == 0) return vector;
        var length = Math.Sqrt(squares);
        for (var i = 0; i < vector.Length; i++) vector[i] = (float)(vector[i] / length);
        return vector;
    }
}
