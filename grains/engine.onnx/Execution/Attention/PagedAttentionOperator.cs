using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Granary.Engine.Onnx.Native;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The schema of our PagedAttention operator and the callbacks through which ONNX Runtime runs it.</summary>
/// <remarks>
/// Inputs are numbered as those of <c>com.microsoft.PagedAttention</c>: 0 query, 1 key, 2 value, 3 key_cache, 4 value_cache,
/// 5 cumulative_sequence_length, 6 past_seqlens, 7 block_table, 8 cos_cache, 9 sin_cache, 10 slot_mapping and 11 head_sink (both must be
/// absent), 12 q_norm_weight, 13 k_norm_weight. Outputs: 0 output, 1 key_cache_out, 2 value_cache_out (bound to the inputs' memory).
/// No exception leaves a callback: the process would not survive it.
/// </remarks>
internal static unsafe class PagedAttentionOperator
{
    private const int InputCount = 14;
    private const int OutputCount = 3;
    private const int Float = 1;
    private const int Int32 = 6;

    // Written once into memory that is never freed, as the runtime keeps the pointer.
    private static readonly byte* Name = AllocateText("PagedAttention"u8);

    /// <summary>Makes the operator for a domain; it is never freed.</summary>
    public static CustomOperator* Create()
    {
        var op = (CustomOperator*)NativeMemory.AllocZeroed((nuint)sizeof(CustomOperator));
        op->Version = OrtApi.Version;
        op->GetName = &GetName;
        op->GetExecutionProviderType = &GetExecutionProviderType;
        op->GetInputType = &GetInputType;
        op->GetInputTypeCount = &GetInputTypeCount;
        op->GetInputCharacteristic = &GetInputCharacteristic;
        op->GetInputMemoryType = &GetInputMemoryType;
        op->GetOutputType = &GetOutputType;
        op->GetOutputTypeCount = &GetOutputTypeCount;
        op->GetOutputCharacteristic = &GetOutputCharacteristic;
        op->CreateKernelV2 = &CreateKernel;
        op->KernelComputeV2 = &Compute;
        op->KernelDestroy = &Destroy;
        return op;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte* GetName(CustomOperator* op) => Name;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte* GetExecutionProviderType(CustomOperator* op) => null; // The CPU's.

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetInputType(CustomOperator* op, nuint index) => index is 5 or 6 or 7 or 10 ? Int32 : Float;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nuint GetInputTypeCount(CustomOperator* op) => InputCount;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetInputCharacteristic(CustomOperator* op, nuint index) => index is 1 or 2 or >= 8 ? 1 : 0; // Optional, required.

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetInputMemoryType(CustomOperator* op, nuint index) => 0; // The default.

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetOutputType(CustomOperator* op, nuint index) => Float;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nuint GetOutputTypeCount(CustomOperator* op) => OutputCount;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetOutputCharacteristic(CustomOperator* op, nuint index) => index == 0 ? 0 : 1;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint CreateKernel(CustomOperator* op, nint api, nint kernelInfo, nint* kernel)
    {
        try
        {
            *kernel = GCHandle.ToIntPtr(GCHandle.Alloc(new PagedAttentionKernel(PagedAttentionAttributes.Read(kernelInfo))));
            return 0;
        }
        catch (Exception exception)
        {
            return OrtApi.CreateStatus(OrtErrorCode.InvalidArgument, exception.Message);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint Compute(nint kernel, nint context)
    {
        try
        {
            ((PagedAttentionKernel)GCHandle.FromIntPtr(kernel).Target!).Compute(context, kernel);
            return 0;
        }
        catch (Exception exception)
        {
            return OrtApi.CreateStatus(OrtErrorCode.Fail, exception.Message);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Destroy(nint kernel) => GCHandle.FromIntPtr(kernel).Free();

    private static byte* AllocateText(ReadOnlySpan<byte> text)
    {
        var memory = (byte*)NativeMemory.AllocZeroed((nuint)text.Length + 1);
        text.CopyTo(new Span<byte>(memory, text.Length));
        return memory;
    }
}
