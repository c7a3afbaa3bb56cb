using System.Text.Json;

namespace Granary.Engine.Onnx.Import.Configuration;

/// <summary>Reads typed, bounded settings from a JSON object; null counts as absent.</summary>
/// <param name="element">The object.</param>
/// <param name="path">File and object, for messages.</param>
internal sealed class SettingsReader(JsonElement element, string path)
{
    public bool Has(string name) => Find(name) is not null;

    /// <returns>The object's reader, or null where it is absent.</returns>
    public SettingsReader? Object(string name)
    {
        if (Find(name) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Object) throw Refuse(name, value, "an object");
        return new SettingsReader(value, $"{path}: {name}");
    }

    public string? Text(string name)
    {
        if (Find(name) is not { } value) return null;
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Refuse(name, value, "a string");
    }

    public string[]? Texts(string name)
    {
        if (Find(name) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Array || value.EnumerateArray().Any(item => item.ValueKind != JsonValueKind.String)) throw Refuse(name, value, "a list of strings");
        return [.. value.EnumerateArray().Select(item => item.GetString()!)];
    }

    public bool Flag(string name, bool otherwise)
    {
        if (Find(name) is not { } value) return otherwise;
        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Refuse(name, value, "true or false"),
        };
    }

    public int Integer(string name, int minimum, int maximum, int? otherwise = null)
    {
        if (Find(name) is not { } value) return otherwise ?? throw new ModelImportException($"{path}: {name} is missing.");
        return ToInteger(name, value, minimum, maximum);
    }

    /// <returns>One integer or a list of them, as EOS ids are written; empty where absent.</returns>
    public int[] Integers(string name, int minimum, int maximum, int limit)
    {
        if (Find(name) is not { } value) return [];
        if (value.ValueKind != JsonValueKind.Array) return [ToInteger(name, value, minimum, maximum)];
        if (value.GetArrayLength() > limit) throw new ModelImportException($"{path}: {name} has {value.GetArrayLength()} entries, bound {limit}.");
        return [.. value.EnumerateArray().Select(item => ToInteger(name, item, minimum, maximum))];
    }

    public double Number(string name, double minimum, double maximum, double? otherwise = null)
    {
        if (Find(name) is not { } value) return otherwise ?? throw new ModelImportException($"{path}: {name} is missing.");
        return ToNumber(name, value, minimum, maximum);
    }

    public double[] Numbers(string name, double minimum, double maximum, int count)
    {
        if (Find(name) is not { } value) throw new ModelImportException($"{path}: {name} is missing.");
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() != count) throw Refuse(name, value, $"a list of {count} numbers");
        return [.. value.EnumerateArray().Select(item => ToNumber(name, item, minimum, maximum))];
    }

    public ModelImportException Refuse(string name, string reason) => new($"{path}: {name} {reason}.");

    private JsonElement? Find(string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private int ToInteger(string name, JsonElement value, int minimum, int maximum)
    {
        var number = ToNumber(name, value, minimum, maximum);
        return double.IsInteger(number) ? (int)number : throw Refuse(name, value, "an integer");
    }

    private double ToNumber(string name, JsonElement value, double minimum, double maximum)
    {
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out var number) || !double.IsFinite(number)) throw Refuse(name, value, "a number");
        return number >= minimum && number <= maximum ? number : throw new ModelImportException(FormattableString.Invariant($"{path}: {name} is {number}, bounds {minimum} … {maximum}."));
    }

    private ModelImportException Refuse(string name, JsonElement value, string expected)
    {
        var text = value.GetRawText();
        return new ModelImportException($"{path}: {name} is {(text.Length > 64 ? text[..64] + "…" : text)}, expected {expected}.");
    }
}
