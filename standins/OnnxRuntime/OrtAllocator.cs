using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>A session's allocator for the memory of one device; used while the session lives.</summary>
public class OrtAllocator : SafeHandle
{
    public unsafe OrtAllocator(InferenceSession session, OrtMemoryInfo memInfo)
        : base(0, true)
    {
        nint allocator;
        OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint, nint*, nint>)OrtTable.Of(Entry.CreateAllocator))(session.Handle, memInfo.Pointer, &allocator));
        handle = allocator;
    }

    public override bool IsInvalid => handle == 0;

    internal nint Pointer => handle;

    protected override bool ReleaseHandle()
    {
        OrtTable.Release(Entry.ReleaseAllocator, handle);
        handle = 0;
        return true;
    }
}
