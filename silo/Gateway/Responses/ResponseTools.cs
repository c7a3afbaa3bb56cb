using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Reads <c>tools</c> and <c>tool_choice</c>. Functions are shown to the model by its template; what it answers stays text.</summary>
/// <param name="Declared">As the API has them, which is how the answer repeats them.</param>
/// <param name="Choice"><c>auto</c> or <c>none</c>.</param>
internal sealed record ResponseTools(JsonArray Declared, string Choice)
{
    private const int MaxTools = 128;
    private const int MaxNameLength = 128;

    /// <exception cref="ApiException">A tool is not a function, or has to be called.</exception>
    public static ResponseTools Read(RequestFields fields) => new(ReadDeclared(fields), ReadChoice(fields));

    /// <summary>As templates have them, a function within a tool; null where none is to be shown.</summary>
    public JsonArray? ForTemplate()
    {
        if (Declared.Count == 0 || Choice == "none") return null;
        var tools = new JsonArray();
        foreach (var tool in Declared)
        {
            var function = tool!.DeepClone().AsObject();
            function.Remove("type");
            tools.Add((JsonNode)new JsonObject { ["type"] = "function", ["function"] = function });
        }

        return tools;
    }

    private static JsonArray ReadDeclared(RequestFields fields)
    {
        const string Name = "tools";
        var tools = new JsonArray();
        foreach (var tool in fields.GetObjects(Name, 0, MaxTools) ?? []) tools.Add((JsonNode)ReadOne(tool));
        return tools;
    }

    private static JsonObject ReadOne(RequestFields fields)
    {
        var type = fields.GetString("type", 64) ?? throw fields.Missing("type", "'function'");
        if (type != "function") throw ApiException.Unsupported(fields.PathOf("type"), $"{fields.PathOf("type")} is '{type}'; only 'function' is taken.");
        if (fields.GetString("name", MaxNameLength) is not { Length: > 0 } name) throw fields.Missing("name", $"1 to {MaxNameLength} characters");
        var result = new JsonObject { ["type"] = "function", ["name"] = name };
        if (fields.GetString("description", int.MaxValue) is { } description) result["description"] = description;
        result["parameters"] = fields.TryGet("parameters", out var parameters) ? ReadSchema(fields, parameters) : null;
        result["strict"] = fields.Has("strict") ? fields.GetBoolean("strict", false) : null;
        return result;
    }

    private static JsonNode? ReadSchema(RequestFields fields, JsonElement schema) => schema.ValueKind == JsonValueKind.Object
        ? RequestText.ReadJson(fields.PathOf("parameters"), schema)
        : throw fields.Wrong("parameters", schema, "a JSON schema");

    private static string ReadChoice(RequestFields fields)
    {
        const string Name = "tool_choice";
        if (!fields.TryGet(Name, out var value)) return "auto";
        if (value.ValueKind == JsonValueKind.String && RequestText.Read(Name, value) is "auto" or "none") return value.GetString()!;
        if (value.ValueKind == JsonValueKind.Object || (value.ValueKind == JsonValueKind.String && value.ValueEquals("required")))
            throw ApiException.Unsupported(Name, $"{Name} would force a call, which is not supported; it must be 'none' or 'auto'.");
        throw fields.Wrong(Name, value, "'none' or 'auto'");
    }
}
