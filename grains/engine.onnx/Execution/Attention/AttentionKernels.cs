using System.Runtime.Intrinsics;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The kernels for this CPU, or for a width asked for.</summary>
internal readonly unsafe struct AttentionKernels
{
    private AttentionKernels(delegate*<AttentionStep*, int, int, void> prepare, delegate*<AttentionStep*, int, void> attend)
    {
        Prepare = prepare;
        Attend = attend;
    }

    public static AttentionKernels Best { get; } = ForWidth(
        Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128);

    /// <summary>Prepares tokens [first, end) of a step.</summary>
    public delegate*<AttentionStep*, int, int, void> Prepare { get; }

    /// <summary>Computes one work item; all of the step's tokens are prepared.</summary>
    public delegate*<AttentionStep*, int, void> Attend { get; }

    public static AttentionKernels ForWidth(int bits) => bits switch
    {
        512 => new(&TokenPreparation<Lanes512>.Run, &RowAttention<Lanes512>.Run),
        256 => new(&TokenPreparation<Lanes256>.Run, &RowAttention<Lanes256>.Run),
        _ => new(&TokenPreparation<Lanes128>.Run, &RowAttention<Lanes128>.Run),
    };
}
