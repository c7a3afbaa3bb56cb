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
        if (!fields.TryGet(Name, out var list)) return tools;
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() > MaxTools) throw fields.Wrong(Name, list, $"a list of at most {MaxTools} tools");
        foreach (var tool in list.EnumerateArray()) tools.Add((JsonNode)ReadOne(tool, $"{Name}[{tools.Count}]"));
        return tools;
    }

    private static JsonObject ReadOne(JsonElement tool, string place)
    {
        if (tool.ValueKind != JsonValueKind.Object) throw ApiException.Invalid("tools", $"{place} is not an object.");
        var fields = new RequestFields(tool, place + ".");
        var type = fields.GetString("type", 64);
        if (type != "function") throw ApiException.Invalid($"{place}.type", $"{place}.type is '{type}'; only 'function' is supported.");
        var name = fields.GetString("name", MaxNameLength);
        if (string.IsNullOrEmpty(name)) throw ApiException.Invalid($"{place}.name", $"{place}.name is missing; it must be a string.");
        var result = new JsonObject { ["type"] = "function", ["name"] = name };
        if (fields.GetString("description", int.MaxValue) is { } description) result["description"] = description;
        JsonNode? schema = null;
        if (fields.TryGet("parameters", out var parameters) && (parameters.ValueKind != JsonValueKind.Object || !RequestJson.TryCopy(parameters, out schema)))
            throw fields.Wrong("parameters", parameters, "a JSON schema that names no field twice and is valid Unicode");
        result["parameters"] = schema;
        result["strict"] = fields.Has("strict") ? fields.GetBoolean("strict", false) : null;
        return result;
    }

    private static string ReadChoice(RequestFields fields)
    {
        const string Name = "tool_choice";
        if (!fields.TryGet(Name, out var value)) return "auto";
        if (value.ValueKind == JsonValueKind.String && RequestText.Read(Name, value) is "auto" or "none") return value.GetString()!;
        throw fields.Wrong(Name, value, "auto or none: a model is not made to call a tool");
    }
}
