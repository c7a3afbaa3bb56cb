namespace Granary.Client;

/// <summary>Makes pooled hidden states an embedding.</summary>
internal static class EmbeddingVectors
{
    /// <summary>The first components, as many as wanted, scaled to length 1. A vector of zeros stays one.</summary>
    public static float[] Finish(float[] pooled, int? dimensions)
    {
        var vector = pooled[..Math.Min(dimensions ?? pooled.Length, pooled.Length)];
        var squares = 0.0;
        foreach (var component in vector) squares += (double)component * component;
        if (squares == 0) return vector;
        var scale = 1 / Math.Sqrt(squares);
        for (var i = 0; i < vector.Length; i++) vector[i] = (float)(vector[i] * scale);
        return vector;
    }
}
