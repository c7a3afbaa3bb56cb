using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Granary.Engine.Onnx.Native;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The schema of our AllReduce operator and the callbacks through which ONNX Runtime runs it: float [rows, columns] → the same shape.</summary>
/// <remarks>
/// The output is an alias of the input's memory, which in our graphs nobody else reads, so values are summed where they were computed. A
/// kernel blocks its session's thread until all ranks have come. No exception leaves a callback: the process would not survive it.
/// </remarks>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AllReduceOperator
{
    private const int Float = 1;

    // Written once into memory that is never freed, as the runtime keeps the pointer.
    private static readonly byte* Name = AllocateText("AllReduce"u8);

    private static readonly int* Zero = (int*)NativeMemory.AllocZeroed(sizeof(int));

    // First, so that the runtime's pointer to it is one to us.
    private CustomOperator _operator;
    private nint _owner;

    /// <summary>Makes the operator of one session.</summary>
    /// <param name="owner">Handle of its <see cref="SessionOperators"/>.</param>
    /// <returns>To be freed behind the session.</returns>
    public static AllReduceOperator* Create(nint owner)
    {
        var op = (AllReduceOperator*)NativeMemory.AllocZeroed((nuint)sizeof(AllReduceOperator));
        op->_owner = owner;
        ref var schema = ref op->_operator;
        schema.Version = OrtApi.Version;
        schema.GetName = &GetName;
        schema.GetExecutionProviderType = &GetExecutionProviderType;
        schema.GetInputType = &GetType;
        schema.GetInputTypeCount = &GetTypeCount;
        schema.GetInputCharacteristic = &GetCharacteristic;
        schema.GetInputMemoryType = &GetMemoryType;
        schema.GetOutputType = &GetType;
        schema.GetOutputTypeCount = &GetTypeCount;
        schema.GetOutputCharacteristic = &GetCharacteristic;
        schema.CreateKernelV2 = &CreateKernel;
        schema.KernelComputeV2 = &Compute;
        schema.KernelDestroy = &Destroy;
        schema.GetAliasMap = &GetAliasMap;
        schema.ReleaseAliasMap = &ReleaseAliasMap;
        return op;
    }

    private static void Compute(SessionOperators owner, nint context)
    {
        Span<long> shape = stackalloc long[2];
        var input = OrtApi.Input(context, 0);
        if (OrtApi.Shape(input, shape) is var rank and not 2) throw new InvalidOperationException($"AllReduce: the input has {rank} dimensions, not 2.");
        var output = OrtApi.Output(context, 0, shape);
        var length = checked((int)(shape[0] * shape[1]));
        var (source, target) = ((nint)OrtApi.Data(input), (nint)OrtApi.Data(output));
        if (source != target) throw new InvalidOperationException("AllReduce: the output is not the input's memory.");
        owner.AllReduce(new Span<float>((void*)target, length), (int)shape[1]);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte* GetName(CustomOperator* op) => Name;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte* GetExecutionProviderType(CustomOperator* op) => null; // The CPU's.

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetType(CustomOperator* op, nuint index) => Float;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nuint GetTypeCount(CustomOperator* op) => 1;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetCharacteristic(CustomOperator* op, nuint index) => 0; // Required.

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetMemoryType(CustomOperator* op, nuint index) => 0; // The default.

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nuint GetAliasMap(int** inputs, int** outputs)
    {
        *inputs = Zero;
        *outputs = Zero;
        return 1;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void ReleaseAliasMap(int* inputs, int* outputs)
    {
        // They live as long as the process.
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint CreateKernel(CustomOperator* op, nint api, nint kernelInfo, nint* kernel)
    {
        *kernel = ((AllReduceOperator*)op)->_owner;
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint Compute(nint kernel, nint context)
    {
        try
        {
            Compute((SessionOperators)GCHandle.FromIntPtr(kernel).Target!, context);
            return 0;
        }
        catch (Exception exception)
        {
            return OrtApi.CreateStatus(OrtErrorCode.Fail, exception.Message);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Destroy(nint kernel)
    {
        // The session's operators own the handle.
    }

    private static byte* AllocateText(ReadOnlySpan<byte> text)
    {
        var memory = (byte*)NativeMemory.AllocZeroed((nuint)text.Length + 1);
        text.CopyTo(new Span<byte>(memory, text.Length));
        return memory;
    }
}
