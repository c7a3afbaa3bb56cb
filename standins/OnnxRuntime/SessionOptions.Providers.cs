using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime;

public partial class SessionOptions
{
    public void AppendExecutionProvider_CUDA(int deviceId = 0) => OrtTable.Check(OrtSessionOptionsAppendExecutionProvider_CUDA(handle, deviceId));

    public void AppendExecutionProvider_Tensorrt(int deviceId = 0) => OrtTable.Check(OrtSessionOptionsAppendExecutionProvider_Tensorrt(handle, deviceId));

    public void AppendExecutionProvider_MIGraphX(int deviceId = 0) => OrtTable.Check(OrtSessionOptionsAppendExecutionProvider_MIGraphX(handle, deviceId));

    public unsafe void AppendExecutionProvider_OpenVINO(string deviceId = "")
    {
        fixed (byte* device = OrtTable.Utf8(deviceId)) OrtTable.Check(OrtSessionOptionsAppendExecutionProvider_OpenVINO(handle, device));
    }

    [DllImport("onnxruntime", CallingConvention = CallingConvention.Cdecl)]
    private static extern nint OrtSessionOptionsAppendExecutionProvider_CUDA(nint options, int deviceId);

    [DllImport("onnxruntime", CallingConvention = CallingConvention.Cdecl)]
    private static extern nint OrtSessionOptionsAppendExecutionProvider_Tensorrt(nint options, int deviceId);

    [DllImport("onnxruntime", CallingConvention = CallingConvention.Cdecl)]
    private static extern nint OrtSessionOptionsAppendExecutionProvider_MIGraphX(nint options, int deviceId);

    [DllImport("onnxruntime", CallingConvention = CallingConvention.Cdecl)]
    private static extern unsafe nint OrtSessionOptionsAppendExecutionProvider_OpenVINO(nint options, byte* deviceId);
}
