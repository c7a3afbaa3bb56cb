using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway;

/// <summary>Reads the tools a conversation may use. They go to the chat template; what the model writes comes back as text.</summary>
internal static class ToolFields
{
    private const int MaxTools = 128;
    private const int MaxName = 64;

    /// <summary>Tools as the template takes them; null where there are none, or where they are not to be used.</summary>
    /// <exception cref="ApiException">They are malformed, or their use would have to be forced.</exception>
    public static JsonArray? Read(RequestFields fields)
    {
        fields.Ignore("parallel_tool_calls");
        RefuseOldFunctions(fields);
        var tools = fields.GetObjects("tools", 0, MaxTools) ?? [];
        foreach (var tool in tools) Check(tool);
        var used = ReadChoice(fields, tools.Length > 0);
        return used && tools.Length > 0 ? new JsonArray([.. tools.Select(tool => tool.ToJson())]) : null;
    }

    private static void Check(RequestFields tool)
    {
        var type = tool.GetString("type", MaxName) ?? throw tool.Missing("type", "'function'");
        if (type != "function") throw ApiException.Unsupported(tool.PathOf("type"), $"{tool.PathOf("type")} is '{type}'; only 'function' is taken.");
        var function = tool.GetObject("function") ?? throw tool.Missing("function", "an object with a name");
        if (function.GetString("name", MaxName) is not { Length: > 0 }) throw function.Missing("name", $"1 to {MaxName} characters");
        function.Ignore("description", "parameters", "strict");
    }

    /// <summary>Whether tools may be used.</summary>
    private static bool ReadChoice(RequestFields fields, bool hasTools)
    {
        const string Name = "tool_choice";
        if (!fields.TryGet(Name, out var choice)) return true;
        var word = choice.ValueKind == JsonValueKind.String ? RequestText.Read(Name, choice) : null;
        if (choice.ValueKind == JsonValueKind.Object || word == "required")
            throw ApiException.Unsupported(Name, $"{Name} would force a call, which is not supported; it must be 'none' or 'auto'.");
        if (word == "none") return false;
        if (word != "auto") throw fields.Wrong(Name, choice, "'none' or 'auto'");
        return hasTools ? true : throw ApiException.Invalid(Name, $"{Name} is 'auto'; it needs tools.");
    }

    private static void RefuseOldFunctions(RequestFields fields)
    {
        var none = fields.TryGet("function_call", out var call) && call.ValueKind == JsonValueKind.String && RequestText.Read("function_call", call) == "none";
        if (none)
            fields.Ignore("functions");
        else
            fields.Refuse("functions", "it is the old name of tools, which are taken");
    }
}
