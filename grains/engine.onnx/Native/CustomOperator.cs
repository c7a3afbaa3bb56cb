using System.Runtime.InteropServices;

namespace Granary.Engine.Onnx.Native;

/// <summary><c>struct OrtCustomOp</c> (onnxruntime_c_api.h, API version 24): a schema and its kernel's callbacks.</summary>
/// <remarks>Callbacks that are zero are optional to the runtime. The memory must outlive every session that knows it.</remarks>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CustomOperator
{
    public uint Version;
    public nint CreateKernel;
    public delegate* unmanaged[Cdecl]<CustomOperator*, byte*> GetName;
    public delegate* unmanaged[Cdecl]<CustomOperator*, byte*> GetExecutionProviderType;
    public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetInputType;
    public delegate* unmanaged[Cdecl]<CustomOperator*, nuint> GetInputTypeCount;
    public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetOutputType;
    public delegate* unmanaged[Cdecl]<CustomOperator*, nuint> GetOutputTypeCount;
    public nint KernelCompute;
    public delegate* unmanaged[Cdecl]<nint, void> KernelDestroy;
    public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetInputCharacteristic;
    public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetOutputCharacteristic;
    public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetInputMemoryType;
    public nint GetVariadicInputMinArity;
    public nint GetVariadicInputHomogeneity;
    public nint GetVariadicOutputMinArity;
    public nint GetVariadicOutputHomogeneity;
    public delegate* unmanaged[Cdecl]<CustomOperator*, nint, nint, nint*, nint> CreateKernelV2;
    public delegate* unmanaged[Cdecl]<nint, nint, nint> KernelComputeV2;
    public nint InferOutputShape;
    public nint GetStartVersion;
    public nint GetEndVersion;
    public nint GetMayInplace;
    public nint ReleaseMayInplace;
    public delegate* unmanaged[Cdecl]<int**, int**, nuint> GetAliasMap;
    public delegate* unmanaged[Cdecl]<int*, int*, void> ReleaseAliasMap;
}
