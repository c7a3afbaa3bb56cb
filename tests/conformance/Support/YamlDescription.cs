using System.Globalization;
using System.Text.Json.Nodes;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Granary.Tests.Conformance.Support;

/// <summary>Reads an OpenAPI description that is written in YAML.</summary>
internal static class YamlDescription
{
    public static JsonNode Load(string path)
    {
        var yaml = new YamlStream();
        // The parser stumbles over empty lines of block text that are indented further than the text.
        using var reader = new StringReader(string.Join('\n', File.ReadLines(path).Select(line => string.IsNullOrWhiteSpace(line) ? "" : line)));
        yaml.Load(reader);
        return ToJson(yaml.Documents[0].RootNode)!;
    }

    private static JsonNode? ToJson(YamlNode node)
    {
        switch (node)
        {
            case YamlMappingNode mapping:
                var result = new JsonObject();
                foreach (var (key, value) in mapping.Children) result[((YamlScalarNode)key).Value!] = ToJson(value);
                return result;
            case YamlSequenceNode sequence:
                return new JsonArray([.. sequence.Children.Select(ToJson)]);
            default:
                var scalar = (YamlScalarNode)node;
                return scalar.Style == ScalarStyle.Plain ? Plain(scalar.Value!) : JsonValue.Create(scalar.Value!);
        }
    }

    /// <summary>YAML's core schema.</summary>
    private static JsonValue? Plain(string text) => text switch
    {
        "" or "~" or "null" => null,
        "true" => JsonValue.Create(true),
        "false" => JsonValue.Create(false),
        _ when long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole) => JsonValue.Create(whole),
        _ when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) => JsonValue.Create(number),
        _ => JsonValue.Create(text),
    };
}
