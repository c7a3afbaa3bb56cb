namespace Granary.Client;

/// <summary>Makes pooled hidden states an embedding.</summary>
internal static class EmbeddingVectors
{
    /// <summary>The first components, as many as wanted, of length 1. A vector of zeros stays one.</summary>
    /// <exception cref="GranaryGenerationException">A component is no number.</exception>
    public static float[] Finish(float[] pooled, int? dimensions)
    {
        var vector = pooled[..Math.Min(dimensions ?? pooled.Length, pooled.Length)];
        var squares = 0.0;
        foreach (var component in vector) squares += (double)component * component;
        if (!double.IsFinite(squares)) throw new GranaryGenerationException("The model gave a vector with components that are no numbers.");
        if (squares == 0) return vector;
        var length = Math.Sqrt(squares); // Divided by, as the gateway does it: both give the same bits.
        for (var i = 0; i < vector.Length; i++) vector[i] = (float)(vector[i] / length);
        return vector;
    }
}
