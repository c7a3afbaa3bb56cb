using System.Text.Json;
using Granary.Client;

namespace Granary.Silo.Gateway;

/// <summary>Reads <c>stop</c>: a string, or a list of them.</summary>
internal static class StopFields
{
    private const string Name = "stop";

    public static string[] Read(RequestFields fields)
    {
        if (!fields.TryGet(Name, out var value)) return [];
        if (value.ValueKind == JsonValueKind.String) return [ReadOne(value)];
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > GenerationLimits.MaxStops)
            throw fields.Wrong(Name, value, $"a string or a list of at most {GenerationLimits.MaxStops} strings");
        return [.. value.EnumerateArray().Select(ReadOne)];
    }

    private static string ReadOne(JsonElement value) =>
        value.ValueKind == JsonValueKind.String && RequestText.Read(Name, value) is { Length: > 0 and <= GenerationLimits.MaxStopLength } text
            ? text
            : throw ApiException.Invalid(Name, $"{Name} has an entry that is not a string of 1 to {GenerationLimits.MaxStopLength} characters.");
}
