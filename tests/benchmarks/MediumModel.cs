using System.Text.Json.Nodes;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;

namespace Granary.Tests.Benchmarks;

/// <summary>Random weights of the 110M shape as a Hugging Face folder, made once and kept between runs.</summary>
internal static class MediumModel
{
    public const int Seed = 1;

    public static (ModelCache Cache, string Source) Prepare()
    {
        var cache = new ModelCache(Path.Combine(Path.GetTempPath(), "granary-benchmark"));
        var source = Path.Combine(cache.Root, $"source-110m-{Seed}");
        if (!File.Exists(Path.Combine(source, "tokenizer.json")))
        {
            if (Directory.Exists(source)) Directory.Delete(source, recursive: true);
            SyntheticModel.Write(source + ".tmp", SyntheticShape.Medium, Seed);
            File.WriteAllText(Path.Combine(source + ".tmp", "tokenizer.json"), Tokenizer().ToJsonString());
            Directory.Move(source + ".tmp", source);
        }

        return (cache, source);
    }

    /// <summary>Byte-level BPE without merges: a short word for every id, about as long as those of real vocabularies.</summary>
    private static JsonObject Tokenizer()
    {
        var vocabulary = new JsonObject();
        for (var id = 0; id < SyntheticShape.Medium.Vocabulary; id++) vocabulary[$"w{id:x}"] = id;
        return new JsonObject
        {
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray() },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
        };
    }
}
