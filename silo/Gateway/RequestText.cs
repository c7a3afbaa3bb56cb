using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway;

/// <summary>Takes strings, and JSON that is passed on, out of a request.</summary>
internal static class RequestText
{
    /// <param name="parameter">The field it is, for the message.</param>
    /// <param name="value">A JSON string.</param>
    /// <exception cref="ApiException">It is not text: an escape names half of a surrogate pair.</exception>
    public static string Read(string parameter, JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw NotText(parameter);
        }
    }

    /// <summary>Any value, checked as a whole: whoever reads it meets neither half a character nor a name twice.</summary>
    /// <param name="parameter">The field it is, for the message.</param>
    /// <exception cref="ApiException">A text or a name in it is not Unicode.</exception>
    public static JsonNode? ReadJson(string parameter, JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                var result = new JsonObject();
                try
                {
                    // Of a name that is there twice the last counts, as it does for the fields we read.
                    foreach (var field in value.EnumerateObject()) result[field.Name] = ReadJson(parameter, field.Value);
                }
                catch (InvalidOperationException)
                {
                    throw NotText(parameter);
                }

                return result;
            case JsonValueKind.Array:
                var list = new JsonArray();
                foreach (var item in value.EnumerateArray()) list.Add(ReadJson(parameter, item));
                return list;
            case JsonValueKind.String:
                return JsonValue.Create(Read(parameter, value));
            case JsonValueKind.Null:
                return null;
            default:
                return JsonValue.Create(value.Clone());
        }
    }

    private static ApiException NotText(string parameter) => ApiException.Invalid(parameter, $"{parameter} is not valid Unicode text.");
}
