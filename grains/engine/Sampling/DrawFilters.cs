namespace Granary.Engine.Sampling;

/// <summary>What a request asks of a draw, with the temperature that all weights are at.</summary>
/// <param name="Scale">1 / temperature.</param>
/// <param name="K">0 keeps all.</param>
internal readonly record struct DrawFilters(float Temperature, float Scale, int K, float TopP, float MinP)
{
    public static DrawFilters Of(SamplingParameters parameters, int vocabularySize) => new(
        parameters.Temperature, 1 / parameters.Temperature, parameters.TopK < vocabularySize ? parameters.TopK : 0, parameters.TopP, parameters.MinP);

    /// <summary>Whether every column may be drawn.</summary>
    public bool KeepAll => this is { K: 0, TopP: 1, MinP: 0 };

    /// <summary>Whether the filters depend on the sum of all weights.</summary>
    public bool NeedTotal => K == 0 && TopP < 1;
}
