using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Says where memory lies.</summary>
public class OrtMemoryInfo : SafeHandle
{
    private static readonly Lazy<OrtMemoryInfo> LazyDefault = new(CreateCpu);

    public unsafe OrtMemoryInfo(string allocatorName, OrtAllocatorType allocatorType, int deviceId, OrtMemType memoryType)
        : base(0, true)
    {
        nint info;
        fixed (byte* name = OrtTable.Utf8(allocatorName))
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<byte*, int, int, int, nint*, nint>)OrtTable.Of(Entry.CreateMemoryInfo))(
                name, (int)allocatorType, deviceId, (int)memoryType, &info));
        }

        handle = info;
    }

    private OrtMemoryInfo(nint info)
        : base(info, true)
    {
    }

    /// <summary>Memory of the CPU.</summary>
    public static OrtMemoryInfo DefaultInstance => LazyDefault.Value;

    public override bool IsInvalid => handle == 0;

    internal nint Pointer => handle;

    protected override bool ReleaseHandle()
    {
        OrtTable.Release(Entry.ReleaseMemoryInfo, handle);
        handle = 0;
        return true;
    }

    private static unsafe OrtMemoryInfo CreateCpu()
    {
        nint info;
        OrtTable.Check(((delegate* unmanaged[Cdecl]<int, int, nint*, nint>)OrtTable.Of(Entry.CreateCpuMemoryInfo))(
            (int)OrtAllocatorType.DeviceAllocator, (int)OrtMemType.Cpu, &info));
        return new OrtMemoryInfo(info);
    }
}
