using Granary.Engine.Onnx.Native;

namespace Granary.Engine.Onnx.Execution;

/// <summary>A PagedAttention node's attributes, with the defaults of <c>com.microsoft.PagedAttention</c>.</summary>
/// <param name="Scale">Factor of the scores; 0 is 1 / √d.</param>
/// <param name="Softcap">Scores become softcap · tanh(score / softcap); 0 is off.</param>
/// <param name="LocalWindowSize">Most tokens a query sees, itself included; -1 is all.</param>
internal sealed record PagedAttentionAttributes(
    int Heads,
    int KvHeads,
    float Scale = 0,
    float Softcap = 0,
    int LocalWindowSize = -1,
    bool Rotary = false,
    bool RotaryInterleaved = false,
    float NormEpsilon = 1e-6f)
{
    /// <exception cref="InvalidOperationException">An attribute is absent or out of its bounds.</exception>
    public static PagedAttentionAttributes Read(nint kernelInfo)
    {
        var heads = OrtApi.Attribute(kernelInfo, "num_heads\0"u8, 0L);
        var kvHeads = OrtApi.Attribute(kernelInfo, "kv_num_heads\0"u8, 0L);
        if (heads is < 1 or > 4096 || kvHeads < 1 || kvHeads > heads || heads % kvHeads != 0)
        {
            throw new InvalidOperationException(
                $"PagedAttention: num_heads is {heads} and kv_num_heads is {kvHeads}; both are at least 1, at most 4096, and the second divides the first.");
        }

        return new PagedAttentionAttributes(
            (int)heads,
            (int)kvHeads,
            OrtApi.Attribute(kernelInfo, "scale\0"u8, 0f),
            OrtApi.Attribute(kernelInfo, "softcap\0"u8, 0f),
            (int)Math.Clamp(OrtApi.Attribute(kernelInfo, "local_window_size\0"u8, -1L), -1, int.MaxValue),
            OrtApi.Attribute(kernelInfo, "do_rotary\0"u8, 0L) != 0,
            OrtApi.Attribute(kernelInfo, "rotary_interleaved\0"u8, 0L) != 0,
            OrtApi.Attribute(kernelInfo, "qk_norm_epsilon\0"u8, 1e-6f));
    }
}
