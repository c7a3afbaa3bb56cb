using Granary.Engine.Execution;
using Granary.Engine.Onnx.Import;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The KV cache of one shard in a device's memory, which the session's own allocator for that device gives.</summary>
internal sealed class DeviceKvCache : IKvCache
{
    private readonly OrtAllocator _allocator;
    private readonly List<OrtValue> _values = [];

    /// <exception cref="OnnxRuntimeException">The session has no such device, or the device not so much memory.</exception>
    public DeviceKvCache(InferenceSession session, OrtMemoryInfo device, ModelDescription model, ExecutorShape whole, TensorElementType type)
    {
        var part = model.Part;
        long[] shape = [whole.KvBlockCount, whole.KvBlockTokens, part.KvHeads.Count, model.HeadSize];
        _allocator = new OrtAllocator(session, device);
        try
        {
            for (var i = 0; i < part.Layers.Count * 2; i++) _values.Add(OrtValue.CreateAllocatedTensorValue(_allocator, type, shape));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public OrtValue Keys(int place) => _values[place * 2];

    public OrtValue Values(int place) => _values[(place * 2) + 1];

    public void Dispose()
    {
        foreach (var value in _values) value.Dispose();
        _allocator.Dispose();
    }
}
