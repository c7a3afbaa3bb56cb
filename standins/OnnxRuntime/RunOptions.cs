using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Options of single runs; may be shared by many.</summary>
public class RunOptions : SafeHandle
{
    private bool _terminate;

    public RunOptions()
        : base(0, true) => handle = OrtTable.Create(Entry.CreateRunOptions);

    public override bool IsInvalid => handle == 0;

    /// <summary>Ends, between two nodes, the runs that use these options.</summary>
    public bool Terminate
    {
        get => _terminate;
        set
        {
            if (value == _terminate) return;
            OrtTable.Call(value ? Entry.RunOptionsSetTerminate : Entry.RunOptionsUnsetTerminate, handle);
            _terminate = value;
        }
    }

    internal nint Handle => handle;

    protected override bool ReleaseHandle()
    {
        OrtTable.Release(Entry.ReleaseRunOptions, handle);
        handle = 0;
        return true;
    }
}
