using Granary.Engine.Execution;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;

namespace Granary.Tests.Support;

/// <summary>A model imported as the shards of P stages × T ranks, each into a folder of its own.</summary>
public sealed class ShardedModel
{
    private readonly string _folder;
    private readonly ShardSlice[] _slices;

    public ShardedModel(string source, string folder, ImportOptions options, int stages, int ranks)
    {
        (_folder, Stages, Ranks) = (folder, stages, ranks);
        var shape = ModelShapes.Read(source, options);
        int[] layers = [.. Enumerable.Range(0, stages).Select(stage => (shape.LayerCount * (stage + 1) / stages) - (shape.LayerCount * stage / stages))];
        _slices = Slicing.Cut(shape, layers, ranks);
        foreach (var slice in _slices) ModelImporter.Import(source, Directory(slice.Place), options with { Slice = slice });
    }

    public int Stages { get; }

    public int Ranks { get; }

    public IReadOnlyList<ShardSlice> Slices => _slices;

    public string Directory(ShardPlace place) => Path.Combine(_folder, place.ToString());

    /// <summary>The whole replica: one executor where the model is not cut, else all of its shards in this process.</summary>
    public IStepExecutor Open(OnnxExecutorOptions options) => Stages == 1 && Ranks == 1
        ? OnnxStepExecutor.Open(Directory(default), options)
        : OpenShards(options);

    public LocalShards OpenShards(OnnxExecutorOptions options) =>
        new(Stages, Ranks, (place, reducer) => OnnxShardExecutor.Open(Directory(place), options, reducer));
}
