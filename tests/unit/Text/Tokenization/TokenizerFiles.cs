using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Tests.Support;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

/// <summary>Tokenizer files made for one test.</summary>
internal static class TokenizerFiles
{
    /// <summary>Gives the model every expected piece as a whole token, so that ids show exactly where the text was cut.</summary>
    public static void AssertPieces(string settings, string text, string expected)
    {
        var root = JsonNode.Parse(settings)!.AsObject();
        var added = root["added_tokens"]?.AsArray().Select(token => (string)token!["content"]!).ToHashSet() ?? [];
        var pieces = expected.Split('|').Where(piece => !added.Contains(piece));
        var characters = $"{text}▁".Select(character => character.ToString());
        var model = Model([.. characters.Concat(pieces).Distinct()], "[]");
        model["ignore_merges"] = true;
        root["model"] = model;
        Assert.Equal(expected, Encode(root, text));
    }

    public static JsonObject Model(string[] tokens, string merges) => new()
    {
        ["type"] = "BPE",
        ["vocab"] = new JsonObject(tokens.Select((token, id) => KeyValuePair.Create(token, (JsonNode?)JsonValue.Create(id)))),
        ["merges"] = JsonNode.Parse(merges),
    };

    public static string Encode(JsonObject root, string text)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["tokenizer.json"], root.ToJsonString());
        var tokens = root["model"]!["vocab"]!.AsObject().ToDictionary(entry => (int)entry.Value!, entry => entry.Key);
        foreach (var added in root["added_tokens"]?.AsArray() ?? []) tokens[(int)added!["id"]!] = (string)added["content"]!;
        return string.Join('|', TextTokenizer.Load(folder.Path).Encode(text).Select(id => tokens[id]));
    }

    public static TextTokenizer Load(JsonObject root)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["tokenizer.json"], root.ToJsonString());
        return TextTokenizer.Load(folder.Path);
    }

    public static TokenizerJson Field(string name, string json) => new("tokenizer.json", name, JsonDocument.Parse(json).RootElement);
}
