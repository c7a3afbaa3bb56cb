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
            // A fraction is no integer, and a number is no switch.
            if (value is IConvertible number && (value is string || typeof(T) != typeof(bool)) && Convert.ChangeType(number, typeof(T), CultureInfo.InvariantCulture) is T converted
                && (typeof(T) != typeof(int) || number is string || number.ToDouble(CultureInfo.InvariantCulture) == Convert.ToDouble(converted, CultureInfo.InvariantCulture))) return converted;
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

    private object? Find(string name) =>
        properties is not null && properties.TryGetValue(name, out var value) && value is not JsonElement { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined } ? value : null;
}
