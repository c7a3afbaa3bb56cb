using System.Globalization;
using System.Text.Json;

namespace Granary.Silo.Gateway;

/// <summary>Reads single fields of a request's body; what is absent or null is not there, what is wrong is refused by name.</summary>
internal readonly struct RequestFields(JsonElement body, string prefix = "")
{
    private const int MaxShown = 64;

    public bool Has(string name) => TryGet(name, out _);

    /// <summary>False where the field is absent or null.</summary>
    public bool TryGet(string name, out JsonElement value) =>
        body.TryGetProperty(name, out value) && value.ValueKind is not (JsonValueKind.Null or JsonValueKind.Undefined);

    public ApiException Wrong(string name, JsonElement value, string wanted) =>
        ApiException.Invalid(prefix + name, $"{prefix}{name} is {Show(value)}; it must be {wanted}.");

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
