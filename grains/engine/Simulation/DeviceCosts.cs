namespace Granary.Engine.Simulation;

/// <summary>How long steps take on a device, by what is computed in them: the figures of real ones, for simulations of whole clusters.</summary>
/// <remarks>
/// <code>
/// step = base + slope x decoding sequences + kv x tokens in their caches + a x prompt tokens + b x (sum of the tokens before each)
/// </code>
/// Base, slope, kv and a are fitted (least squares of relative errors, none negative) to the time per output token that real servers were measured to need at c
/// sequences of i prompt and o output tokens: in the steady state each step decodes c tokens and computes c i / o prompt tokens. The measured prompts are too short to tell b;
/// it is the attention's share of the model's arithmetic: 4 x layers x (heads x head size) operations for each token before, over 2 x parameters active.
/// </remarks>
public sealed record DeviceCosts
{
    /// <summary>Llama-3.1-8B-Instruct on one H100 SXM under TensorRT-LLM: 42 measurements of 1,024 to 4,096 prompt tokens, errors 1.7 % median and 4.1 % at the 90th percentile.</summary>
    public static DeviceCosts Llama8BOnH100 { get; } = new()
    {
        Name = "Llama-3.1-8B, H100",
        SecondsPerStep = 6.43e-3,
        SecondsPerDecodingSequence = 1.8e-6,
        SecondsPerCachedToken = 49.01e-9,
        SecondsPerPrefillToken = 18.79e-6,
        SecondsPerPrefillContext = 18.79e-6 * 3.3e-5,
    };

    /// <summary>MiniMax-M2.5 (10 billion parameters active) on four H200 SXM under vLLM, FP8: 30 measurements of 1,024 and 8,192 prompt tokens, errors 1.6 % median and 5.7 % at the 90th percentile.</summary>
    public static DeviceCosts MiniMaxM2OnFourH200 { get; } = new()
    {
        Name = "MiniMax-M2.5, 4 x H200",
        SecondsPerStep = 11.615e-3,
        SecondsPerDecodingSequence = 198e-6,
        SecondsPerCachedToken = 11.39e-9,
        SecondsPerPrefillToken = 21.94e-6,
        SecondsPerPrefillContext = 21.94e-6 * 7.6e-5,
    };

    public required string Name { get; init; }

    /// <summary>Whatever is in the step: reading the weights.</summary>
    public required double SecondsPerStep { get; init; }

    public required double SecondsPerDecodingSequence { get; init; }

    /// <summary>For each token whose keys and values a decoding sequence reads.</summary>
    public required double SecondsPerCachedToken { get; init; }

    public required double SecondsPerPrefillToken { get; init; }

    /// <summary>What each token before a prompt token adds.</summary>
    public required double SecondsPerPrefillContext { get; init; }

    /// <param name="decoding">Sequences that decode.</param>
    /// <param name="cached">Tokens in their caches.</param>
    /// <param name="prefill">Prompt tokens.</param>
    /// <param name="context">Sum of the tokens before each of them.</param>
    public double StepSeconds(int decoding, long cached, long prefill, double context) =>
        SecondsPerStep + SecondsPerDecodingSequence * decoding + SecondsPerCachedToken * cached
        + SecondsPerPrefillToken * prefill + SecondsPerPrefillContext * context;

    /// <summary>Seconds per output token of a server that always has <paramref name="sequences"/> of one size: what measurements are compared with.</summary>
    public double SecondsPerOutputToken(int sequences, int promptTokens, int outputTokens)
    {
        var prefill = (double)sequences * promptTokens / outputTokens; // A step's share of the prompts.
        return SecondsPerStep + SecondsPerDecodingSequence * sequences + SecondsPerCachedToken * sequences * (promptTokens + outputTokens / 2.0)
            + prefill * (SecondsPerPrefillToken + SecondsPerPrefillContext * promptTokens / 2);
    }
}
