using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>A loaded model.</summary>
public class InferenceSession : IDisposable
{
    private nint _session;

    public InferenceSession(string modelPath, SessionOptions options)
        : this(Open(modelPath, options))
    {
    }

    public InferenceSession(byte[] model, SessionOptions options)
        : this(Open(model, options))
    {
    }

    private InferenceSession(nint session)
    {
        _session = session;
        try
        {
            InputMetadata = Metadata(Entry.SessionGetInputCount, Entry.SessionGetInputName, Entry.SessionGetInputTypeInfo, out var inputs);
            OutputMetadata = Metadata(Entry.SessionGetOutputCount, Entry.SessionGetOutputName, Entry.SessionGetOutputTypeInfo, out var outputs);
            (InputNames, OutputNames) = (inputs, outputs);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    ~InferenceSession() => Dispose(false);

    public IReadOnlyDictionary<string, NodeMetadata> InputMetadata { get; }

    public IReadOnlyDictionary<string, NodeMetadata> OutputMetadata { get; }

    public IReadOnlyList<string> InputNames { get; }

    public IReadOnlyList<string> OutputNames { get; }

    internal nint Handle => _session;

    public OrtIoBinding CreateIoBinding() => new(this);

    /// <summary>Runs the model on what is bound; blocks until it is done.</summary>
    public unsafe void RunWithBinding(RunOptions runOptions, OrtIoBinding ioBinding)
    {
        ObjectDisposedException.ThrowIf(_session == 0, this);
        OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint, nint, nint>)OrtTable.Of(Entry.RunWithBinding))(
            _session, runOptions.Handle, ioBinding.Handle));
        GC.KeepAlive(runOptions);
        GC.KeepAlive(ioBinding);
    }

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        var session = Interlocked.Exchange(ref _session, 0);
        if (session != 0) OrtTable.Release(Entry.ReleaseSession, session);
    }

    private static unsafe nint Open(string path, SessionOptions options)
    {
        nint session;
        fixed (byte* utf8 = OrtTable.Utf8(path))
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, byte*, nint, nint*, nint>)OrtTable.Of(Entry.CreateSession))(
                OrtEnv.Instance().Handle, utf8, options.Handle, &session));
        }

        GC.KeepAlive(options);
        return session;
    }

    private static unsafe nint Open(byte[] model, SessionOptions options)
    {
        nint session;
        fixed (byte* bytes = model)
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, byte*, nuint, nint, nint*, nint>)OrtTable.Of(Entry.CreateSessionFromArray))(
                OrtEnv.Instance().Handle, bytes, (nuint)model.Length, options.Handle, &session));
        }

        GC.KeepAlive(options);
        return session;
    }

    private unsafe Dictionary<string, NodeMetadata> Metadata(Entry counter, Entry namer, Entry typer, out string[] names)
    {
        names = new string[OrtTable.Get(counter, _session)];
        var metadata = new Dictionary<string, NodeMetadata>();
        var allocator = OrtTable.Create(Entry.GetAllocatorWithDefaultOptions);
        for (var i = 0; i < names.Length; i++)
        {
            nint name, type;
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint, nint, nint*, nint>)OrtTable.Of(namer))(_session, i, allocator, &name));
            names[i] = Marshal.PtrToStringUTF8(name);
            OrtTable.Call(Entry.AllocatorFree, allocator, name);
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint, nint*, nint>)OrtTable.Of(typer))(_session, i, &type));
            try
            {
                metadata[names[i]] = NodeMetadata.Read(type);
            }
            finally
            {
                OrtTable.Release(Entry.ReleaseTypeInfo, type);
            }
        }

        return metadata;
    }
}

/// <summary>Type and shape of an input or output that is a tensor.</summary>
public class NodeMetadata
{
    private NodeMetadata(TensorElementType elementType, int[] dimensions, string[] symbolicDimensions) =>
        (ElementDataType, Dimensions, SymbolicDimensions) = (elementType, dimensions, symbolicDimensions);

    public TensorElementType ElementDataType { get; }

    /// <summary>-1 where a dimension is not known before a run.</summary>
    public int[] Dimensions { get; }

    public string[] SymbolicDimensions { get; }

    public bool IsTensor => true;

    internal static unsafe NodeMetadata Read(nint typeInfo)
    {
        var info = OrtTable.Get(Entry.CastTypeInfoToTensorInfo, typeInfo); // Owned by the type info.
        if (info == 0) throw new OnnxRuntimeException(ErrorCode.NotImplemented, "Inputs and outputs that are not tensors are not supported.");
        int elementType;
        OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, int*, nint>)OrtTable.Of(Entry.GetTensorElementType))(info, &elementType));
        var rank = (int)OrtTable.Get(Entry.GetDimensionsCount, info);
        var dimensions = new long[rank];
        var symbols = new nint[rank];
        fixed (long* values = dimensions)
        fixed (nint* names = symbols)
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, long*, nint, nint>)OrtTable.Of(Entry.GetDimensions))(info, values, rank));
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint*, nint, nint>)OrtTable.Of(Entry.GetSymbolicDimensions))(info, names, rank));
        }

        return new NodeMetadata(
            (TensorElementType)elementType,
            Array.ConvertAll(dimensions, value => checked((int)value)),
            Array.ConvertAll(symbols, name => Marshal.PtrToStringUTF8(name) ?? ""));
    }
}
