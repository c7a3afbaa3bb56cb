using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Copies a caller's own JSON for templates and answers, which read all of it.</summary>
internal static class RequestJson
{
    /// <returns>False where it names a field twice, or has text that is not valid Unicode: neither can be read.</returns>
    public static bool TryCopy(JsonElement value, out JsonNode? copy)
    {
        try
        {
            copy = Copy(value);
            return true;
        }
        catch (Exception exception) when (exception is InvalidOperationException or ArgumentException)
        {
            copy = null;
            return false;
        }
    }

    private static JsonNode? Copy(JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                var fields = new JsonObject();
                foreach (var field in value.EnumerateObject()) fields.Add(field.Name, Copy(field.Value));
                return fields;
            case JsonValueKind.Array:
                var list = new JsonArray();
                foreach (var item in value.EnumerateArray()) list.Add(Copy(item));
                return list;
            case JsonValueKind.String:
                return JsonValue.Create(value.GetString());
            case JsonValueKind.Null:
                return null;
            default:
                return JsonValue.Create(value.Clone());
        }
    }
}
