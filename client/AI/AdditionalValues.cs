using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.AI;

namespace Granary.Client;

/// <summary>Reads additional properties by their names on the wire, whatever type the caller or a configuration gave them.</summary>
internal readonly struct AdditionalValues(AdditionalPropertiesDictionary? properties)
{
    /// <exception cref="GranaryRequestException">The value is not of this type.</exception>
    public T? Get<T>(string name) where T : struct, IConvertible
    {
        if (Find(name) is not { } value) return null;
        try
        {
            if (value is T typed) return typed;
            if (value is JsonElement element) return element.Deserialize<T>(AIJsonUtilities.DefaultOptions);
            if (value is string text && Convert.ChangeType(text, typeof(T), CultureInfo.InvariantCulture) is T parsed) return parsed;
            if (IsNumber(value) && typeof(T) != typeof(bool)) return FromNumber<T>((IConvertible)value);
        }
        catch (Exception exception) when (exception is FormatException or OverflowException or InvalidCastException or JsonException)
        {
            // Told below.
        }

        throw Refusals.Invalid(name, $"{name} is a {value.GetType().Name} that is no {typeof(T).Name}.");
    }

    /// <exception cref="GranaryRequestException">The value is not text.</exception>
    public string? GetText(string name) => Find(name) switch
    {
        null => null,
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } element => element.GetString(),
        var other => throw Refusals.Invalid(name, $"{name} is a {other.GetType().Name} that is no text."),
    };

    /// <summary>The value as JSON.</summary>
    public JsonNode? GetNode(string name) => Find(name) switch
    {
        null => null,
        JsonNode node => node,
        var other => JsonSerializer.SerializeToNode(other, AIJsonUtilities.DefaultOptions.GetTypeInfo(other.GetType())),
    };

    private static bool IsNumber(object value) => value is int or long or float or double or decimal or short or byte or uint or ulong;

    /// <exception cref="OverflowException">It is out of the type's range, or a fraction where the type has none.</exception>
    private static T FromNumber<T>(IConvertible number) where T : struct, IConvertible
    {
        var converted = (T)Convert.ChangeType(number, typeof(T), CultureInfo.InvariantCulture);
        var isExact = typeof(T) != typeof(int) || number.ToDouble(CultureInfo.InvariantCulture) == converted.ToDouble(CultureInfo.InvariantCulture);
        return isExact ? converted : throw new OverflowException();
    }

    private object? Find(string name) =>
        properties is not null && properties.TryGetValue(name, out var value) && value is not JsonElement { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined } ? value : null;
}
