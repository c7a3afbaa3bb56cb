using System.Text;
using System.Text.Json.Nodes;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx.Import;

/// <summary>What an import refuses, and that a refusal leaves nothing behind.</summary>
public sealed class ModelImporterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Source => _folder["source"];

    private string Output => _folder["out"];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("architectures", """["GPT2LMHeadModel"]""", "GPT2LMHeadModel")]
    [InlineData("architectures", "[]", "architectures []")]
    [InlineData("architectures", "7", "expected a list of strings")]
    [InlineData("hidden_act", "\"gelu\"", "hidden_act is 'gelu'")]
    [InlineData("num_attention_heads", "0", "num_attention_heads is 0, bounds 1")]
    [InlineData("num_attention_heads", "-4", "num_attention_heads is -4")]
    [InlineData("num_attention_heads", "1e300", "num_attention_heads is 1E+300")]
    [InlineData("num_attention_heads", "4.5", "num_attention_heads is 4.5, expected an integer")]
    [InlineData("num_key_value_heads", "3", "num_key_value_heads is 3, which does not divide")]
    [InlineData("head_dim", "7", "head_dim is 7, expected an even number")]
    [InlineData("head_dim", "4096", "head_dim is 4096, bounds 2 … 1024")]
    [InlineData("vocab_size", "0", "vocab_size is 0")]
    [InlineData("vocab_size", "null", "vocab_size is missing")]
    [InlineData("vocab_size", "63", "shape [64, 32], expected [63, 32]")]
    [InlineData("num_hidden_layers", "1000000000", "num_hidden_layers is 1000000000, bounds 1 … 1024")]
    [InlineData("num_hidden_layers", "3", "model.layers.2.input_layernorm.weight is missing")]
    [InlineData("num_hidden_layers", "1", "model.layers.1")]
    [InlineData("max_position_embeddings", "99999999", "max_position_embeddings is 99999999")]
    [InlineData("rms_norm_eps", "0", "rms_norm_eps is 0")]
    [InlineData("rope_theta", "-1", "rope_theta is -1")]
    [InlineData("rope_scaling", """{"type": "magic"}""", "rope_type is 'magic'")]
    [InlineData("rope_scaling", """{"type": "linear"}""", "factor is missing")]
    [InlineData("rope_scaling", """{"type": "longrope", "short_factor": [1], "long_factor": [1]}""", "expected a list of 4 numbers")]
    [InlineData("rope_parameters", """{"full_attention": {"rope_theta": 1}}""", "differ by layer type")]
    [InlineData("partial_rotary_factor", "0", "makes 0 of 8 dimensions rotate")]
    [InlineData("tie_word_embeddings", "\"yes\"", "tie_word_embeddings is \"yes\", expected true or false")]
    [InlineData("attention_bias", "true", "self_attn.q_proj.bias is missing")]
    [InlineData("quantization_config", "{}", "quantization_config is set")]
    [InlineData("eos_token_id", "64", "eos_token_id is 64, bounds 0 … 63")]
    public void Import_RefusedSetting_IsNamedAndNothingIsWritten(string setting, string value, string reason)
    {
        var settings = new JsonObject { [setting] = JsonNode.Parse(value) };
        SyntheticModel.Write(Source, new SyntheticShape { Settings = settings }, seed: 1);
        if (setting == "eos_token_id") File.Delete(Path.Combine(Source, "generation_config.json"));

        AssertRefused(reason);
    }

    [Fact]
    public void Import_HiddenNotDivisibleByHeads_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape { Settings = new JsonObject { ["head_dim"] = null, ["num_attention_heads"] = 6 } }, seed: 1);
        AssertRefused("hidden_size is 32, which num_attention_heads 6 does not divide");
    }

    [Fact]
    public void Import_SuperfluousTensor_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape { AttentionBias = true, Settings = new JsonObject { ["attention_bias"] = false } }, seed: 1);
        AssertRefused("tensor model.layers.0.self_attn.q_proj.bias of shape [32] has no place");
    }

    [Theory]
    [InlineData("F32\",\"shape\":[64,32]", "F64\",\"shape\":[32,32]", "has shape [32, 32], expected [64, 32]")]
    [InlineData("F32\",\"shape\":[64,32]", "I32\",\"shape\":[64,32]", "has dtype I32, supported: F32, F16, BF16")]
    public void Import_TensorOfAnotherShapeOrType_IsRefused(string from, string to, string reason)
    {
        SyntheticModel.Write(Source, new SyntheticShape { Tied = true }, seed: 1);
        var path = Path.Combine(Source, "model.safetensors");
        File.WriteAllText(path, File.ReadAllText(path, Encoding.Latin1).Replace(from, to), Encoding.Latin1);

        AssertRefused(reason);
    }

    [Fact]
    public void Import_TruncatedWeights_AreRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        using (var stream = File.OpenWrite(Path.Combine(Source, "model.safetensors"))) stream.SetLength(stream.Length - 1);
        AssertRefused("model.safetensors: tensor");
    }

    [Theory]
    [InlineData("../model-00001-of-00002.safetensors", "not the plain name")]
    [InlineData("/etc/passwd", "not the plain name")]
    [InlineData("config.json", "not the plain name")]
    [InlineData("absent.safetensors", "absent.safetensors: is missing")]
    [InlineData("model-00002-of-00002.safetensors", "not listed for this file")]
    public void Import_IndexThatPointsElsewhere_IsRefused(string shard, string reason)
    {
        SyntheticModel.Write(Source, new SyntheticShape { Shards = 2 }, seed: 1);
        var path = Path.Combine(Source, "model.safetensors.index.json");
        var index = JsonNode.Parse(File.ReadAllText(path))!;
        index["weight_map"]!["model.embed_tokens.weight"] = shard;
        File.WriteAllText(path, index.ToJsonString());

        AssertRefused(reason);
    }

    [Fact]
    public void Import_IndexedTensorThatNoShardHolds_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape { Shards = 2 }, seed: 1);
        var path = Path.Combine(Source, "model.safetensors.index.json");
        var index = JsonNode.Parse(File.ReadAllText(path))!;
        index["weight_map"]!["ghost"] = "model-00001-of-00002.safetensors";
        File.WriteAllText(path, index.ToJsonString());

        AssertRefused("tensor ghost is not in model-00001-of-00002.safetensors");
    }

    [Fact]
    public void Import_LinkOutOfTheFolder_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        File.WriteAllText(_folder["secret"], "secret");
        Directory.CreateSymbolicLink(Path.Combine(Source, "deep"), _folder.Path);
        File.CreateSymbolicLink(Path.Combine(Source, "tokenizer.json"), "deep/secret");
        AssertRefused("tokenizer.json: is a link that leads out");
    }

    [Fact]
    public void Import_HuggingFaceCacheSnapshot_IsFollowedToItsBlobs()
    {
        var model = _folder["models--x--y"];
        var snapshot = Path.Combine(model, "snapshots", "abc");
        SyntheticModel.Write(Path.Combine(model, "blobs"), new SyntheticShape(), seed: 1);
        Directory.CreateDirectory(snapshot);
        foreach (var name in new[] { "config.json", "model.safetensors" }) File.CreateSymbolicLink(Path.Combine(snapshot, name), $"../../blobs/{name}");

        Assert.Equal(2, ModelImporter.Import(snapshot, Output, new ImportOptions()).LayerCount);
    }

    [Theory]
    [InlineData("config.json", "{", "config.json: cannot be read as JSON")]
    [InlineData("config.json", "[]", "config.json: is not an object")]
    [InlineData("config.json", """{"vocab_size": 1, "vocab_size": 2}""", "config.json: cannot be read as JSON")]
    [InlineData("config.json", "", "config.json: is empty or not a plain file")]
    [InlineData("generation_config.json", """{"temperature": "hot"}""", "temperature is \"hot\", expected a number")]
    public void Import_MalformedJson_IsRefused(string file, string text, string reason)
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        File.WriteAllText(Path.Combine(Source, file), text);
        AssertRefused(reason);
    }

    [Fact]
    public void Import_DeepJson_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        File.WriteAllText(Path.Combine(Source, "config.json"), string.Concat(Enumerable.Repeat("{\"a\":", 100_000)));
        AssertRefused("config.json: cannot be read as JSON");
    }

    [Fact]
    public void Import_WithoutWeights_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        File.Delete(Path.Combine(Source, "model.safetensors"));
        AssertRefused("neither model.safetensors nor model.safetensors.index.json");
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(129)]
    public void Import_ContextBeyondTheModel_IsRefused(int contextLength)
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        var refusal = Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, Output, new ImportOptions { ContextLength = contextLength }));
        Assert.Contains($"context length {contextLength} is asked for, bounds 1 … 128", refusal.Message);
    }

    [Fact]
    public void Import_WeightThatIsNotFinite_IsRefusedWhenQuantising()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        var path = Path.Combine(Source, "model.safetensors");
        var bytes = File.ReadAllBytes(path);
        BitConverter.TryWriteBytes(bytes.AsSpan(^4), float.NaN);
        File.WriteAllBytes(path, bytes);

        var refusal = Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, Output, new ImportOptions { Weights = WeightFormat.Int4 }));

        Assert.Contains("lm_head.weight: row 63 holds a weight that is not finite", refusal.Message);
        Assert.Equal([Source], Directory.GetDirectories(_folder.Path));
    }

    [Fact]
    public void Import_OutputWithOtherContent_IsLeftAlone()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        Directory.CreateDirectory(Output);
        File.WriteAllText(Path.Combine(Output, "thesis.txt"), "mine");

        var refusal = Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, Output, new ImportOptions()));

        Assert.Contains("is not empty and not an imported model", refusal.Message);
        Assert.Equal("mine", File.ReadAllText(Path.Combine(Output, "thesis.txt")));
    }

    [Fact]
    public void Import_OverAnImportedModel_ReplacesItWhole()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        File.WriteAllText(Path.Combine(Source, "tokenizer.json"), "{}");
        ModelImporter.Import(Source, Output, new ImportOptions());
        File.Delete(Path.Combine(Source, "tokenizer.json"));

        var description = ModelImporter.Import(Source, Output, new ImportOptions { Weights = WeightFormat.Int8 });

        Assert.Equal(description.Fingerprint, ModelDescription.Load(Output).Fingerprint);
        Assert.False(File.Exists(Path.Combine(Output, "tokenizer.json")));
        Assert.Equal([Output, Source], Directory.GetDirectories(_folder.Path).Order());
    }

    [Fact]
    public void Import_IntoTheSource_IsRefused()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, Source, new ImportOptions()));
        Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, _folder.Path, new ImportOptions()));
    }

    [Fact]
    public void Import_Cancelled_LeavesNothing()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        using var cancellation = new CancellationTokenSource();
        var progress = new Recorder(report =>
        {
            if (report.Phase == ImportPhase.Writing) cancellation.Cancel();
        });

        Assert.Throws<OperationCanceledException>(() => ModelImporter.Import(Source, Output, new ImportOptions(), progress, cancellation.Token));

        Assert.Equal([Source], Directory.GetDirectories(_folder.Path));
    }

    [Fact]
    public void Import_ReportsPhasesInOrderUpToAllBytes()
    {
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
        var reports = new List<ImportProgress>();

        ModelImporter.Import(Source, Output, new ImportOptions(), new Recorder(reports.Add));

        Assert.Equal([ImportPhase.Checking, ImportPhase.Writing, ImportPhase.Committing], reports.Select(r => r.Phase).Distinct());
        var writing = reports.Where(r => r.Phase == ImportPhase.Writing).Select(r => r.BytesDone).ToList();
        Assert.Equal(writing.Order(), writing);
        Assert.Equal(new FileInfo(Path.Combine(Output, "model.onnx.data")).Length, writing[^1]);
        Assert.All(reports.Skip(1), r => Assert.Equal(writing[^1], r.BytesTotal));
    }

    [Fact]
    public void Import_Description_TellsTheModel()
    {
        SyntheticModel.Write(Source, new SyntheticShape { Tied = true }, seed: 1);
        File.WriteAllText(Path.Combine(Source, "generation_config.json"), """{"eos_token_id": [5, 3, 5], "do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05}""");

        var description = ModelImporter.Import(Source, Output, new ImportOptions());

        Assert.Equal([3, 5], description.EosTokenIds);
        Assert.Equal(new GenerationDefaults(0.7f, 20, 0.8f, null, 1.05f), description.Defaults);
        Assert.Equal(128, description.ContextLength);
        Assert.Equal(64 * 32 + 32 + 2 * (2 * 32 + 64 * 32 + 32 * 32 + 3 * 48 * 32), description.ParameterCount);
        var loaded = ModelDescription.Load(Output);
        Assert.Equal(description with { EosTokenIds = loaded.EosTokenIds }, loaded);
    }

    private void AssertRefused(string reason)
    {
        var refusal = Assert.Throws<ModelImportException>(() => ModelImporter.Import(Source, Output, new ImportOptions()));
        Assert.Contains(reason, refusal.Message);
        Assert.Equal([Source], Directory.GetDirectories(_folder.Path));
    }

    private sealed class Recorder(Action<ImportProgress> report) : IProgress<ImportProgress>
    {
        public void Report(ImportProgress value) => report(value);
    }
}
