using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.Tests.Support;

namespace Granary.Tests.Benchmarks.Partition;

/// <summary>A model with random weights that is measured whole and in parts; made once and kept between runs.</summary>
/// <param name="Name">As it is asked for.</param>
/// <param name="Shape">Its sizes.</param>
/// <param name="Weights">How its matrices are stored.</param>
internal sealed record PartitionModel(string Name, SyntheticShape Shape, WeightFormat Weights)
{
    /// <summary>The 110M shape of the other benchmarks, in float32.</summary>
    public static PartitionModel Medium { get; } = new("110m", SyntheticShape.Medium, WeightFormat.Float32);

    /// <summary>The shape of TinyLlama 1.1B, in blocks of 4 bits.</summary>
    public static PartitionModel Billion { get; } = new("1b", new()
    {
        Layers = 22,
        Hidden = 2048,
        Intermediate = 5632,
        Heads = 32,
        KvHeads = 4,
        HeadSize = 64,
        Vocabulary = 32_000,
        Context = 2048,
        Type = "BF16",
        Shards = 3,
    }, WeightFormat.Int4);

    private static ModelCache Cache { get; } = new(Path.Combine(Path.GetTempPath(), "granary-benchmark"));

    /// <summary>Folders of the imported shards, cut so that stages of equal devices take equally long to decode.</summary>
    /// <returns>[P × T], with their slices; one whole model for one stage of one rank.</returns>
    public (ShardSlice Slice, string Directory)[] Import(int stages, int ranks)
    {
        var source = Source();
        var options = new ImportOptions { Weights = Weights };
        var workers = Enumerable.Range(0, stages * ranks).Select(worker => new WorkerInventory
        {
            Worker = $"{worker}/cpu",
            DeviceKind = "cpu",
            Silo = $"{worker}",
            Host = "here",
            FreeBytes = 64L << 30,
            FreeCores = 1,
            FlopsPerSecond = 50e9,
            BytesPerSecond = 30e9,
        });
        var result = PartitionPlanner.Plan(
            ModelShapes.Read(source, options), [.. workers], new PartitionRequest { Stages = stages, Ranks = ranks, ThreadsPerShard = 1, KvTokens = 1024 });
        var plan = result.Plan ?? throw new InvalidOperationException(result.Refusal);
        return [.. plan.Shards.Select(shard => shard.Slice).Select(slice =>
            (slice, Cache.GetOrImport(source, options with { Slice = slice.IsWhole ? null : slice }).Directory))];
    }

    private string Source()
    {
        if (Name == Medium.Name) return MediumModel.Prepare().Source;
        var source = Path.Combine(Cache.Root, $"source-{Name}-{MediumModel.Seed}");
        if (Directory.Exists(source)) return source;
        if (Directory.Exists(source + ".tmp")) Directory.Delete(source + ".tmp", recursive: true);
        SyntheticModel.Write(source + ".tmp", Shape, MediumModel.Seed);
        File.Copy(Path.Combine(MediumModel.Prepare().Source, "tokenizer.json"), Path.Combine(source + ".tmp", "tokenizer.json")); // Of the same vocabulary.
        Directory.Move(source + ".tmp", source);
        return source;
    }
}
