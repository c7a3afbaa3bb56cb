using System.Runtime.InteropServices;

namespace Granary.Silo.Hosting;

/// <summary>Asks NVIDIA's driver about a device, before any session is opened on it.</summary>
internal static unsafe class CudaDriver
{
    private const int Success = 0;

    /// <summary>Bytes of the device's memory, used or not; null where there is no driver or no such device.</summary>
    /// <param name="device">As the execution provider counts: in the driver's order, of those that <c>CUDA_VISIBLE_DEVICES</c> leaves.</param>
    public static long? FindMemoryBytes(int device)
    {
        if (!NativeLibrary.TryLoad(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", out var library)) return null;
        if (!NativeLibrary.TryGetExport(library, "cuInit", out var initialize)
            || !NativeLibrary.TryGetExport(library, "cuDeviceGet", out var get)
            || !NativeLibrary.TryGetExport(library, "cuDeviceTotalMem_v2", out var total)) return null;

        int handle;
        nuint bytes;
        if (((delegate* unmanaged<uint, int>)initialize)(0) != Success) return null;
        if (((delegate* unmanaged<int*, int, int>)get)(&handle, device) != Success) return null;
        return ((delegate* unmanaged<nuint*, int, int>)total)(&bytes, handle) == Success ? (long)bytes : null;
    }
}
