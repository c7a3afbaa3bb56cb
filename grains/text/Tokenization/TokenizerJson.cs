using System.Text.Json;

namespace Granary.Text.Tokenization;

/// <summary>One object of a tokenizer file together with its path, so that every complaint names file and field.</summary>
internal readonly struct TokenizerJson(string file, string path, JsonElement element)
{
    /// <summary>Largest file read, in bytes; the largest published tokenizers have about 35 MB.</summary>
    public const long MaxFileBytes = 256L * 1024 * 1024;

    public string File { get; } = file;
    public string Path { get; } = path;
    public JsonElement Element { get; } = element;

    /// <exception cref="TokenizerException">The file cannot be read, is too large or is not a JSON object.</exception>
    public static TokenizerJson Read(string path)
    {
        var name = System.IO.Path.GetFileName(path);
        try
        {
            var length = new FileInfo(path).Length;
            if (length > MaxFileBytes) throw new TokenizerException($"{name} has {length} bytes; at most {MaxFileBytes} are read.");

            return Parse(name, System.IO.File.ReadAllBytes(path));
        }
        catch (IOException exception)
        {
            throw new TokenizerException($"{name} cannot be read: {exception.Message}", exception);
        }
    }

    /// <exception cref="TokenizerException">It is not a JSON object.</exception>
    public static TokenizerJson Parse(string name, ReadOnlyMemory<byte> content)
    {
        try
        {
            if (content.Span.StartsWith("\ufeff"u8)) content = content[3..]; // The parser takes no byte order mark.
            using var document = JsonDocument.Parse(content, new JsonDocumentOptions { MaxDepth = 64 });
            var root = document.RootElement.Clone();
            if (root.ValueKind != JsonValueKind.Object) throw new TokenizerException($"{name} is not a JSON object.");
            return new TokenizerJson(name, "", root);
        }
        catch (JsonException exception)
        {
            throw new TokenizerException($"{name} is not valid JSON: {exception.Message}", exception);
        }
    }

    public string Type => String("type");

    public TokenizerJson? Child(string name)
    {
        if (Element.ValueKind != JsonValueKind.Object) throw Bad("is not an object");
        return Element.TryGetProperty(name, out var child) && child.ValueKind != JsonValueKind.Null
            ? new TokenizerJson(File, Path.Length == 0 ? name : $"{Path}.{name}", child)
            : null;
    }

    public TokenizerJson Required(string name) => Child(name) ?? throw Bad($"lacks '{name}'");

    public IEnumerable<TokenizerJson> Items(string name)
    {
        var list = Required(name);
        if (list.Element.ValueKind != JsonValueKind.Array) throw list.Bad("is not a list");
        var index = 0;
        foreach (var item in list.Element.EnumerateArray()) yield return new TokenizerJson(list.File, $"{list.Path}[{index++}]", item);
    }

    public string String(string name) => Required(name).AsString();

    public string? OptionalString(string name) => Child(name)?.AsString();

    public string AsString() => Element.ValueKind == JsonValueKind.String ? Element.GetString()! : throw Bad("is not a string");

    public bool Flag(string name, bool otherwise)
    {
        if (Child(name) is not { } child) return otherwise;
        return child.Element.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw child.Bad("is not true or false"),
        };
    }

    public int Int(string name) => Required(name).AsId();

    /// <summary>A non-negative number below 2^24: no vocabulary comes near it, and tables are sized by it.</summary>
    public int AsId() =>
        Element.ValueKind == JsonValueKind.Number && Element.TryGetInt32(out var value) && value is >= 0 and < (1 << 24)
            ? value
            : throw Bad("is not a whole number from 0 to 16777215");

    public TokenizerException Bad(string what) => new($"{File}: {(Path.Length == 0 ? "the file" : $"field '{Path}'")} {what}.");
}
