using System.Collections;
using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>A list whose elements are disposed with it.</summary>
public interface IDisposableReadOnlyCollection<T> : IReadOnlyCollection<T>, IDisposable
{
}

/// <summary>Values bound to a session's inputs and outputs; they stay bound from run to run.</summary>
public class OrtIoBinding : SafeHandle
{
    internal OrtIoBinding(InferenceSession session)
        : base(0, true) => handle = OrtTable.Get(Entry.CreateIoBinding, session.Handle);

    public override bool IsInvalid => handle == 0;

    internal nint Handle => handle;

    public void BindInput(string name, OrtValue ortValue) => Bind(Entry.BindInput, name, ortValue.Handle);

    public void BindOutput(string name, OrtValue ortValue) => Bind(Entry.BindOutput, name, ortValue.Handle);

    /// <summary>The runtime allocates the output there in every run.</summary>
    public void BindOutputToDevice(string name, OrtMemoryInfo memInfo) => Bind(Entry.BindOutputToDevice, name, memInfo.Pointer);

    /// <summary>The outputs' values in the order they were bound; the caller disposes them.</summary>
    public unsafe IDisposableReadOnlyCollection<OrtValue> GetOutputValues()
    {
        nint allocator = OrtTable.Create(Entry.GetAllocatorWithDefaultOptions), count;
        nint* values;
        OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint, nint**, nint*, nint>)OrtTable.Of(Entry.GetBoundOutputValues))(
            handle, allocator, &values, &count));
        var list = new ValueList();
        for (nint i = 0; i < count; i++) list.Add(new OrtValue(values[i]));
        if (values is not null) OrtTable.Call(Entry.AllocatorFree, allocator, (nint)values);
        return list;
    }

    public void ClearBoundInputs() => OrtTable.Release(Entry.ClearBoundInputs, handle);

    public void ClearBoundOutputs() => OrtTable.Release(Entry.ClearBoundOutputs, handle);

    protected override bool ReleaseHandle()
    {
        OrtTable.Release(Entry.ReleaseIoBinding, handle);
        handle = 0;
        return true;
    }

    private unsafe void Bind(Entry entry, string name, nint value)
    {
        fixed (byte* utf8 = OrtTable.Utf8(name))
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, byte*, nint, nint>)OrtTable.Of(entry))(handle, utf8, value));
        }
    }

    private sealed class ValueList : IDisposableReadOnlyCollection<OrtValue>
    {
        private readonly List<OrtValue> _values = [];

        public int Count => _values.Count;

        public void Add(OrtValue value) => _values.Add(value);

        public void Dispose()
        {
            foreach (var value in _values) value.Dispose();
        }

        public IEnumerator<OrtValue> GetEnumerator() => _values.GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
