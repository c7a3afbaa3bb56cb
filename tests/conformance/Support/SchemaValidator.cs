using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Tests.Conformance.Support;

/// <summary>Checks JSON against the schemas of an OpenAPI description: the assertions that such descriptions make of JSON, and none else.</summary>
/// <remarks>A keyword it does not know fails the test, so that nothing passes unchecked. Formats and discriminators are annotations.</remarks>
internal sealed class SchemaValidator(JsonNode description)
{
    private static readonly HashSet<string> Annotations =
    [
        "title", "description", "default", "example", "examples", "deprecated", "format", "discriminator", "nullable", "readOnly", "writeOnly",
    ];

    /// <summary>What is wrong with the value, by path; nothing where it is right.</summary>
    public IReadOnlyList<string> Validate(JsonNode? value, string schema) => [.. Check(value, Resolve($"#/components/schemas/{schema}"), "$")];

    /// <summary>What is wrong with the value, by path; nothing where it is right.</summary>
    public IReadOnlyList<string> Validate(JsonNode? value, JsonNode schema) => [.. Check(value, schema, "$")];

    private IEnumerable<string> Check(JsonNode? value, JsonNode schema, string path)
    {
        // OpenAPI 3.0's way to allow null, which its other assertions do not say again.
        if (value is null && (bool?)schema["nullable"] == true) return [];
        return schema.AsObject().SelectMany(keyword => CheckOne(value, schema, keyword.Key, keyword.Value!, path));
    }

    private IEnumerable<string> CheckOne(JsonNode? value, JsonNode schema, string keyword, JsonNode argument, string path)
    {
        if (Annotations.Contains(keyword) || keyword.StartsWith("x-", StringComparison.Ordinal)) return [];
        var (kind, number) = (KindOf(value), KindOf(value) is "integer" or "number" ? Number(value!) : 0);
        switch (keyword)
        {
            case "$ref":
                return Check(value, Resolve((string)argument!), path);
            case "type":
                var types = argument is JsonArray several ? several.Select(t => (string)t!).ToArray() : [(string)argument!];
                return When(!types.Contains(kind) && !(kind == "integer" && types.Contains("number")), $"{path} is {kind}, not {string.Join(" or ", types)}");
            case "enum":
                return When(!argument.AsArray().Any(option => JsonNode.DeepEquals(option, value)), $"{path} is {Show(value)}, none of {argument.ToJsonString()}");
            case "const":
                return When(!JsonNode.DeepEquals(argument, value), $"{path} is {Show(value)}, not {Show(argument)}");
            case "anyOf":
                return When(!argument.AsArray().Any(option => !Check(value, option!, path).Any()), $"{path} is {Show(value)}, which no alternative allows");
            case "oneOf":
                var fitting = argument.AsArray().Count(option => !Check(value, option!, path).Any());
                return When(fitting != 1, $"{path} is {Show(value)}, which {fitting} alternatives allow");
            case "allOf":
                return argument.AsArray().SelectMany(option => Check(value, option!, path));
            case "properties":
                return value is JsonObject a ? argument.AsObject().Where(p => a.ContainsKey(p.Key)).SelectMany(p => Check(a[p.Key], p.Value!, $"{path}.{p.Key}")) : [];
            case "required":
                return value is JsonObject b ? argument.AsArray().Where(name => !b.ContainsKey((string)name!)).Select(name => $"{path}.{name} is missing") : [];
            case "additionalProperties":
                return value is JsonObject c ? CheckOthers(c, schema, argument, path) : [];
            case "items":
                return value is JsonArray d ? d.SelectMany((item, i) => Check(item, argument, $"{path}[{i}]")) : [];
            case "minItems" or "maxItems":
                return value is JsonArray e ? When(keyword == "minItems" ? e.Count < Number(argument) : e.Count > Number(argument), $"{path} has {e.Count} items; {keyword} is {argument}") : [];
            case "minLength" or "maxLength":
                return kind == "string" ? CheckLength((string)value!, keyword, Number(argument), path) : [];
            case "maxProperties":
                return value is JsonObject f ? When(f.Count > Number(argument), $"{path} has {f.Count} fields; at most {argument}") : [];
            case "minimum" or "maximum" or "exclusiveMinimum":
                return kind is "integer" or "number" ? When(Outside(number, keyword, Number(argument)), $"{path} is {number.ToString(CultureInfo.InvariantCulture)}; {keyword} is {argument}") : [];
            default:
                throw new NotSupportedException($"Keyword {keyword} at {path}.");
        }
    }

    private IEnumerable<string> CheckOthers(JsonObject value, JsonNode schema, JsonNode argument, string path)
    {
        foreach (var (name, field) in value)
        {
            if (schema["properties"]?.AsObject().ContainsKey(name) == true) continue;
            if (argument.GetValueKind() == JsonValueKind.False) yield return $"{path}.{name} is not described";
            if (argument is not JsonObject) continue;
            foreach (var failure in Check(field, argument, $"{path}.{name}")) yield return failure;
        }
    }

    private static string[] CheckLength(string text, string keyword, double bound, string path) =>
        When(keyword == "minLength" ? text.Length < bound : text.Length > bound, $"{path} has {text.Length} characters; {keyword} is {bound}");

    private static bool Outside(double number, string keyword, double bound) =>
        keyword switch { "minimum" => number < bound, "maximum" => number > bound, _ => number <= bound };

    /// <summary>Whatever type the node holds it in.</summary>
    private static double Number(JsonNode value) => double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture);

    private static string[] When(bool wrong, string message) => wrong ? [message] : [];

    private JsonNode Resolve(string reference)
    {
        Assert.StartsWith("#/", reference);
        return reference[2..].Split('/').Aggregate(description, (node, step) => node[step] ?? throw new InvalidDataException($"{reference} is not described."));
    }

    private static string KindOf(JsonNode? value) => value?.GetValueKind() switch
    {
        null or JsonValueKind.Null => "null",
        JsonValueKind.Object => "object",
        JsonValueKind.Array => "array",
        JsonValueKind.String => "string",
        JsonValueKind.Number => Math.Floor(Number(value!)) == Number(value!) ? "integer" : "number",
        _ => "boolean",
    };

    private static string Show(JsonNode? value)
    {
        var text = value?.ToJsonString() ?? "null";
        return text.Length <= 200 ? text : text[..200] + "…";
    }
}
