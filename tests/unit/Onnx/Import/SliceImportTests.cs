using System.Text.Json.Nodes;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx.Import;

/// <summary>Parts of models: which slices are refused, which files they need, and what is told of them.</summary>
public sealed class SliceImportTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Source => _folder["source"];

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, Func<ShardSlice, ShardSlice>> BadSlices => new()
    {
        { "Slice.Stages is 5, bounds 1 … 4", slice => slice with { Stages = 5 } },
        { "Slice.Stages is 0", slice => slice with { Stages = 0 } },
        { "Slice.Ranks is 5, bounds 1 … 4", slice => slice with { Ranks = 5 } },
        { "Slice.Place.Stage is 2, bounds 0 … 1", slice => slice with { Place = new(2, 0) } },
        { "Slice.Place.Rank is -1", slice => slice with { Place = new(0, -1) } },
        { "Slice.Layers is [0, 5): bounds [0, 4)", slice => slice with { Layers = new(0, 5) } },
        { "Slice.Layers is [0, 0)", slice => slice with { Layers = new(0, 0) } },
        { "Slice.Layers is [1, 2): the first begins at 0", slice => slice with { Layers = new(1, 1) } },
        { "Slice.Layers is [2, 3): the last ends at 4", slice => slice with { Place = new(1, 0), Layers = new(2, 1) } },
        { "Slice.Layers is [2147483647,", slice => slice with { Layers = new(int.MaxValue, int.MaxValue) } },
        { "Slice.Heads is [0, 9)", slice => slice with { Heads = new(0, 9) } },
        { "Slice.Heads is [2, 3): the last ends at 4", slice => slice with { Place = new(0, 1), Heads = new(2, 1) } },
        { "Slice.KvHeads is [0, 2): heads [0, 2) attend to [0, 1)", slice => slice with { KvHeads = new(0, 2) } },
        { "Slice.Heads is [0, 3): more than one KV head takes whole groups of 2", slice => slice with { Heads = new(0, 3), KvHeads = new(0, 2) } },
        { "Slice.Intermediate is [0, 49)", slice => slice with { Intermediate = new(0, 49) } },
        { "Slice.Vocabulary is [-1, 31)", slice => slice with { Vocabulary = new(-1, 32) } },
    };

    [Theory, MemberData(nameof(BadSlices), DisableDiscoveryEnumeration = true)]
    public void Import_SliceThatDoesNotFit_IsNamedAndNothingIsWritten(string reason, Func<ShardSlice, ShardSlice> change)
    {
        SyntheticModel.Write(Source, new SyntheticShape { Layers = 4 }, seed: 1);
        var slice = change(Slicing.Cut(ModelShapes.Read(Source, new()), [2, 2], 2)[0]);

        var refusal = Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, _folder["out"], new ImportOptions { Slice = slice }));

        Assert.Contains(reason, refusal.Message);
        Assert.Equal([Source], Directory.GetDirectories(_folder.Path));
        Assert.Throws<ModelImportException>(() => new ModelCache(_folder["cache"]).GetOrImport(Source, new ImportOptions { Slice = slice }));
    }

    /// <summary>A machine that holds one stage needs only the files with that stage's tensors.</summary>
    [Fact]
    public void Import_StageOfAShardedCheckpoint_OpensOnlyTheFilesItNeeds()
    {
        SyntheticModel.Write(Source, new SyntheticShape { Layers = 4, Shards = 4 }, seed: 1);
        var index = JsonNode.Parse(File.ReadAllText(Path.Combine(Source, "model.safetensors.index.json")))!["weight_map"]!.AsObject();
        var whole = ModelImporter.Import(Source, _folder["whole"], new ImportOptions());
        var slices = Slicing.Cut(ModelShapes.Read(Source, new()), [2, 2], 1);
        var cache = new ModelCache(_folder["cache"]);
        var before = cache.GetOrImport(Source, new ImportOptions { Slice = slices[1] });
        var needed = index.Where(entry => entry.Key.StartsWith("model.layers.2.") || entry.Key.StartsWith("model.layers.3.") || entry.Key is "model.norm.weight" or "lm_head.weight")
            .Select(entry => (string)entry.Value!).ToHashSet();
        foreach (var file in Directory.GetFiles(Source, "*.safetensors").Where(file => !needed.Contains(Path.GetFileName(file)))) File.Delete(file);
        Assert.InRange(Directory.GetFiles(Source, "*.safetensors").Length, 1, 3);

        var after = cache.GetOrImport(Source, new ImportOptions { Slice = slices[1] });

        Assert.Equal(before.Directory, after.Directory);
        var description = ModelImporter.Import(Source, _folder["again"], new ImportOptions { Slice = slices[1] });
        Assert.Equal(File.ReadAllBytes(Path.Combine(before.Directory, "model.onnx.data")), File.ReadAllBytes(Path.Combine(_folder["again"], "model.onnx.data")));
        Assert.Equal(whole.ParameterCount, description.ParameterCount);
        var refusal = Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, _folder["first"], new ImportOptions { Slice = slices[0] }));
        Assert.Contains("is missing", refusal.Message);
    }

    /// <summary>What belongs to no stage is seen in the index, whichever stage is imported.</summary>
    [Fact]
    public void Import_StageOfACheckpointWithASuperfluousTensor_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape { Layers = 4, Shards = 4, MlpBias = true, Settings = new JsonObject { ["mlp_bias"] = false } }, seed: 1);
        var slice = Slicing.Cut(ModelShapes.Read(Source, new()), [3, 1], 1)[1];

        var refusal = Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, _folder["out"], new ImportOptions { Slice = slice }));

        Assert.Contains("has no place in LlamaForCausalLM", refusal.Message);
    }

    [Fact]
    public void Import_TiedModel_LastStageTakesTheEmbedding()
    {
        SyntheticModel.Write(Source, new SyntheticShape { Tied = true }, seed: 1);
        var slices = Slicing.Cut(ModelShapes.Read(Source, new()), [1, 1], 1);
        foreach (var slice in slices) ModelImporter.Import(Source, _folder[slice.Place.ToString()], new ImportOptions { Slice = slice });

        var table = new OnnxModelReader(_folder["0.0"]).Floats("embedding.weight");
        var head = new OnnxModelReader(_folder["1.0"]).Floats("head.weight");

        for (var id = 0; id < 64; id++) Assert.Equal(table[id * 32 + 5], head[5 * 64 + id]);
    }

    [Fact]
    public void GetOrImport_EverySlice_IsAModelOfItsOwn()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        var shape = ModelShapes.Read(Source, new());
        var cache = new ModelCache(_folder["cache"]);

        ImportedModel[] models =
        [
            cache.GetOrImport(Source, new ImportOptions()),
            .. Slicing.Cut(shape, [1, 1], 2).Select(slice => cache.GetOrImport(Source, new ImportOptions { Slice = slice })),
        ];

        Assert.Equal(5, models.Select(model => model.Directory).Distinct().Count());
        Assert.Equal(models[0].Directory, cache.GetOrImport(Source, new ImportOptions { Slice = ShardSlice.Whole(shape) }).Directory);
    }

    [Fact]
    public void Load_DescriptionOfAPart_TellsTheSliceAndTheWholeModelsSizes()
    {
        SyntheticModel.Write(Source, new SyntheticShape { Layers = 3, Tied = true }, seed: 1);
        var shape = ModelShapes.Read(Source, new ImportOptions { Weights = WeightFormat.Int4, ContextLength = 64 });
        var slice = Slicing.Cut(shape, [1, 2], 2)[3];
        ModelImporter.Import(Source, _folder["out"], new ImportOptions { Weights = WeightFormat.Int4, ContextLength = 64, Slice = slice });

        var description = ModelDescription.Load(_folder["out"]);

        Assert.Equal(slice, description.Slice);
        Assert.Equal(slice, description.Part);
        Assert.Equal(shape, description.Shape);
        Assert.Equal(
            new ModelShape
            {
                LayerCount = 3,
                HiddenSize = 32,
                IntermediateSize = 48,
                HeadCount = 4,
                KvHeadCount = 2,
                HeadSize = 8,
                VocabularySize = 64,
                ContextLength = 64,
                TiedEmbeddings = true,
                WeightBits = 4,
            },
            shape);
        Assert.Equal(shape, ModelShapes.Read(_folder["out"], new ImportOptions()));
    }

    [Fact]
    public void Load_DescriptionWithABadSlice_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape { Layers = 3 }, seed: 1);
        ModelImporter.Import(Source, _folder["out"], new ImportOptions { Slice = Slicing.Cut(ModelShapes.Read(Source, new()), [1, 2], 1)[1] });
        var path = Path.Combine(_folder["out"], ModelDescription.FileName);
        var json = JsonNode.Parse(File.ReadAllText(path))!;
        json["Slice"]!["Layers"]!["Count"] = 3;
        File.WriteAllText(path, json.ToJsonString());

        var refusal = Assert.Throws<ModelImportException>(() => ModelDescription.Load(_folder["out"]));

        Assert.Contains("granary.json: Slice.Layers is [1, 4): bounds [0, 3)", refusal.Message);
    }

    /// <summary>Planning needs no weights and no tokenizer.</summary>
    [Fact]
    public void Read_FolderWithNothingButTheConfiguration_TellsTheSizes()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        foreach (var file in Directory.GetFiles(Source).Where(file => Path.GetFileName(file) != "config.json")) File.Delete(file);

        Assert.Equal(48, ModelShapes.Read(Source, new ImportOptions()).IntermediateSize);
        Assert.Equal(8, ModelShapes.Read(Source, new ImportOptions { Weights = WeightFormat.Int8 }).WeightBits);
    }
}
