using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway;

/// <summary>Reads single fields of a request's body; what is absent or null is not there, what is wrong is refused by name.</summary>
/// <param name="prefix">Path of the object within the body, for messages.</param>
/// <param name="record">Remembers what was asked for; null where unknown fields are tolerated.</param>
internal readonly struct RequestFields(JsonElement body, string prefix = "", FieldRecord? record = null)
{
    private const int MaxShown = 64;

    public bool Has(string name) => TryGet(name, out _);

    /// <summary>False where the field is absent or null.</summary>
    /// <exception cref="ApiException">A field's name is not Unicode text.</exception>
    public bool TryGet(string name, out JsonElement value)
    {
        record?.Ask(prefix, body, name);
        try
        {
            return body.TryGetProperty(name, out value) && value.ValueKind is not (JsonValueKind.Null or JsonValueKind.Undefined);
        }
        catch (InvalidOperationException)
        {
            throw ApiException.InvalidBody("The body has a field whose name is not valid Unicode text.");
        }
    }

    /// <summary>The object in a field; null where it is absent.</summary>
    public RequestFields? GetObject(string name)
    {
        if (!TryGet(name, out var value)) return null;
        return value.ValueKind == JsonValueKind.Object ? new RequestFields(value, $"{prefix}{name}.", record) : throw Wrong(name, value, "an object");
    }

    /// <summary>The objects in a list; null where it is absent.</summary>
    public RequestFields[]? GetObjects(string name, int min, int max)
    {
        if (!TryGet(name, out var list)) return null;
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() < min || list.GetArrayLength() > max)
            throw Wrong(name, list, $"a list of {(min > 0 ? $"{min} to" : "at most")} {max} objects");
        var objects = new RequestFields[list.GetArrayLength()];
        var i = 0;
        foreach (var item in list.EnumerateArray())
        {
            var place = $"{prefix}{name}[{i}]";
            objects[i++] = item.ValueKind == JsonValueKind.Object
                ? new RequestFields(item, place + ".", record)
                : throw ApiException.Invalid(prefix + name, $"{place} is {Show(item)}; it must be an object.");
        }

        return objects;
    }

    /// <summary>Path of a field within the body.</summary>
    public string PathOf(string name) => prefix + name;

    /// <summary>The whole object.</summary>
    /// <exception cref="ApiException">A text or name in it is not Unicode.</exception>
    public JsonObject ToJson() => (JsonObject)RequestText.ReadJson(prefix.TrimEnd('.'), body)!;

    public ApiException Wrong(string name, JsonElement value, string wanted) =>
        ApiException.Invalid(prefix + name, $"{prefix}{name} is {Show(value)}; it must be {wanted}.");

    public ApiException Missing(string name, string wanted) => ApiException.Invalid(prefix + name, $"{prefix}{name} is missing; it must be {wanted}.");

    /// <summary>Takes fields that have no effect here, so that they are known.</summary>
    public void Ignore(params ReadOnlySpan<string> names)
    {
        if (record is null) return;
        foreach (var name in names) record.Ask(prefix, body, name);
    }

    /// <summary>Refuses a field whose meaning would be lost; false, 0 and what is empty say nothing.</summary>
    public void Refuse(string name, string why)
    {
        if (!TryGet(name, out var value)) return;
        var empty = value.ValueKind switch
        {
            JsonValueKind.False => true,
            JsonValueKind.Array => value.GetArrayLength() == 0,
            JsonValueKind.Object => value.GetPropertyCount() == 0,
            JsonValueKind.Number => value.TryGetInt32(out var number) && number == 0,
            JsonValueKind.String => RequestText.Read(prefix + name, value).Length == 0,
            _ => false,
        };
        if (!empty) throw ApiException.Unsupported(prefix + name, $"{prefix}{name} is {Show(value)}; {why}.");
    }

    /// <exception cref="ApiException">Unknown fields are refused, and there is one.</exception>
    public void RefuseUnknown() => record?.RefuseUnknown();

    public bool GetBoolean(string name, bool fallback)
    {
        if (!TryGet(name, out var value)) return fallback;
        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Wrong(name, value, "true or false"),
        };
    }

    public string? GetString(string name, int maxLength)
    {
        if (!TryGet(name, out var value)) return null;
        if (value.ValueKind != JsonValueKind.String) throw Wrong(name, value, "a string");
        var text = RequestText.Read(prefix + name, value);
        return text.Length <= maxLength ? text : throw Wrong(name, value, $"at most {maxLength} characters long");
    }

    public int? GetInteger(string name, int min, int max)
    {
        if (!TryGet(name, out var value)) return null;
        if (value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= min && number <= max) return number;
        throw Wrong(name, value, max == int.MaxValue ? $"an integer of at least {min}" : $"an integer from {min} to {max}");
    }

    public float? GetFloat(string name, float min, float max, bool withoutMin = false)
    {
        if (!TryGet(name, out var value)) return null;
        if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number <= max && (withoutMin ? number > min : number >= min))
            return (float)number;
        throw Wrong(name, value, string.Create(CultureInfo.InvariantCulture, $"a number {(withoutMin ? "above" : "from")} {min} {(withoutMin ? "and at most" : "to")} {max}"));
    }

    /// <summary>The value as a message shows it: numbers and short words as they are, anything longer by its kind.</summary>
    private static string Show(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => Cut(value.GetRawText()),
        JsonValueKind.String when value.GetRawText().Length <= MaxShown => value.GetRawText(),
        JsonValueKind.String => "a longer string",
        JsonValueKind.Array => $"a list of {value.GetArrayLength()}",
        JsonValueKind.Object => "an object",
        _ => "null",
    };

    private static string Cut(string text) => text.Length <= MaxShown ? text : text[..MaxShown] + "…";
}
