using Microsoft.ML.OnnxRuntime;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The KV cache of one shard: two tensors [blocks, block tokens, KV heads, head size] a layer, which the graph reads and writes in place.</summary>
internal interface IKvCache : IDisposable
{
    /// <param name="place">Of the layer among the shard's, from 0.</param>
    OrtValue Keys(int place);

    /// <inheritdoc cref="Keys"/>
    OrtValue Values(int place);
}
