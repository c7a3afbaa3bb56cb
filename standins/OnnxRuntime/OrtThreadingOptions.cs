using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Sizes and habits of the thread pools that all sessions share.</summary>
public class OrtThreadingOptions : SafeHandle
{
    public OrtThreadingOptions()
        : base(0, true) => handle = OrtTable.Create(Entry.CreateThreadingOptions);

    public override bool IsInvalid => handle == 0;

#pragma warning disable CA1044 // Write-only, as in the genuine class.
    public int GlobalInterOpNumThreads
    {
        set => OrtTable.CallInt(Entry.SetGlobalInterOpNumThreads, handle, value);
    }

    public int GlobalIntraOpNumThreads
    {
        set => OrtTable.CallInt(Entry.SetGlobalIntraOpNumThreads, handle, value);
    }

    public bool GlobalSpinControl
    {
        set => OrtTable.CallInt(Entry.SetGlobalSpinControl, handle, value ? 1 : 0);
    }
#pragma warning restore CA1044

    internal nint Handle => handle;

    protected override bool ReleaseHandle()
    {
        OrtTable.Release(Entry.ReleaseThreadingOptions, handle);
        handle = 0;
        return true;
    }
}
