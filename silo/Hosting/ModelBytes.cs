using Granary.Engine.Execution;
using Granary.Engine.Onnx.Import;

namespace Granary.Silo.Hosting;

/// <summary>What an imported model, or a shard's part of one, takes of its device's memory.</summary>
internal static class ModelBytes
{
    /// <summary>The weights file as it is mapped, or copied to the device.</summary>
    public static long OfWeights(ImportedModel imported) => new FileInfo(Path.Combine(imported.Directory, ModelDescription.WeightsFileName)).Length;

    /// <summary>The KV cache of the part's layers and heads.</summary>
    public static long OfCache(ImportedModel imported, ExecutorShape shape)
    {
        var part = imported.Description.Part;
        var element = imported.Description.Target == ModelTarget.Cpu ? sizeof(float) : sizeof(ushort);
        return (long)shape.KvBlockCount * shape.KvBlockTokens * 2 * part.Layers.Count * part.KvHeads.Count * imported.Description.HeadSize * element;
    }
}
