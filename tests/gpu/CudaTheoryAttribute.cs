using Granary.Engine.Onnx.Execution;

namespace Granary.Tests.Gpu;

/// <summary>A theory that needs an NVIDIA GPU, its driver and ONNX Runtime's package for CUDA, and is skipped with the reason where one is absent.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class CudaTheoryAttribute : TheoryAttribute
{
    public CudaTheoryAttribute() => Skip =
        !ExecutionProviders.IsInstalled(ExecutionProviders.Cuda) ? "the installed ONNX Runtime has no CUDA provider: it is another package's"
        : !HasDevice ? "there is no NVIDIA GPU: neither /dev/nvidia0 nor /dev/dxg"
        : null;

    private static bool HasDevice => OperatingSystem.IsWindows() || File.Exists("/dev/nvidia0") || File.Exists("/dev/dxg");
}
