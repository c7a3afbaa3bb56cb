using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Granary.Engine.Onnx.Native;

/// <summary>The instruction sets that decide how a CPU's matrix kernels lay out packed weights.</summary>
internal static class CpuFeatures
{
    public static string Describe()
    {
        (string Name, bool Supported)[] features =
        [
            ("sse4.1", Sse41.IsSupported), ("avx", Avx.IsSupported), ("avx2", Avx2.IsSupported), ("fma", Fma.IsSupported),
            ("avxvnni", AvxVnni.IsSupported), ("avx512f", Avx512F.IsSupported), ("avx512bw", Avx512BW.IsSupported),
            ("avx512vnni", HasLeaf7Ecx(11)), ("avx512bf16", HasLeaf7Sub1Eax(5)), ("amx", HasLeaf7Edx(24)),
            ("neon", AdvSimd.IsSupported), ("dotprod", Dp.IsSupported),
        ];
        return $"{RuntimeInformation.ProcessArchitecture} {string.Join(' ', features.Where(f => f.Supported).Select(f => f.Name))}";
    }

    private static bool HasLeaf7Ecx(int bit) => X86Base.IsSupported && (X86Base.CpuId(7, 0).Ecx >> bit & 1) != 0;

    private static bool HasLeaf7Edx(int bit) => X86Base.IsSupported && (X86Base.CpuId(7, 0).Edx >> bit & 1) != 0;

    private static bool HasLeaf7Sub1Eax(int bit) => X86Base.IsSupported && (X86Base.CpuId(7, 1).Eax >> bit & 1) != 0;
}
