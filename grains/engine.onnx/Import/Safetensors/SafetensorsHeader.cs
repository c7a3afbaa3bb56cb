using System.Buffers.Binary;
using System.Text.Json;

namespace Granary.Engine.Onnx.Import.Safetensors;

/// <summary>Where a tensor lies in its file. Offsets count from the start of the data, behind the header.</summary>
internal sealed record SafetensorsEntry(string Name, string Type, long[] Shape, long Begin, long End);

/// <summary>Reads the header of a safetensors file and refuses everything the format forbids.</summary>
/// <remarks>
/// Format: 8 bytes little endian header length, a JSON object of that length, then the data. Each tensor has dtype, shape and
/// data_offsets; sorted by offset they must cover the data without hole or overlap.
/// Source: the format description of huggingface/safetensors.
/// </remarks>
internal static class SafetensorsHeader
{
    public const int MaxHeaderBytes = 100_000_000;
    public const int MaxTensors = 200_000;
    public const int MaxNameLength = 512;
    public const int MaxRank = 8;
    private const int LengthBytes = 8;
    private const int MaxDepth = 8;

    /// <summary>Reads the header from the start of <paramref name="stream"/>.</summary>
    /// <param name="file">For messages.</param>
    /// <returns>Entries in the order of their data, and where the data starts in the file.</returns>
    /// <exception cref="ModelImportException">The header is malformed or does not fit the file.</exception>
    public static (List<SafetensorsEntry> Entries, long DataStart) Read(Stream stream, string file)
    {
        Span<byte> prefix = stackalloc byte[LengthBytes];
        if (stream.Length < LengthBytes) throw Refuse(file, $"has {stream.Length} bytes, a header length takes {LengthBytes}");
        stream.ReadExactly(prefix);
        var length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length is < 2 or > MaxHeaderBytes) throw Refuse(file, $"header length {length} is outside 2 … {MaxHeaderBytes}");
        if (length > (ulong)(stream.Length - LengthBytes)) throw Refuse(file, $"header length {length} exceeds the file's {stream.Length} bytes");

        var header = new byte[length];
        stream.ReadExactly(header);
        var dataStart = LengthBytes + (long)length;
        return (Parse(header, stream.Length - dataStart, file), dataStart);
    }

    private static List<SafetensorsEntry> Parse(byte[] header, long dataLength, string file)
    {
        if (header[0] != (byte)'{') throw Refuse(file, "header does not begin with '{'");
        try
        {
            var entries = ParseEntries(header, file);
            entries.Sort((a, b) => a.Begin != b.Begin ? a.Begin.CompareTo(b.Begin) : a.End.CompareTo(b.End));
            CheckLayout(entries, dataLength, file);
            return entries;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            // InvalidOperationException: strings that are no valid UTF-8 or UTF-16.
            throw new ModelImportException($"{file}: header is not valid JSON: {e.Message}", e);
        }
    }

    private static List<SafetensorsEntry> ParseEntries(byte[] header, string file)
    {
        var reader = new Utf8JsonReader(header, new JsonReaderOptions { MaxDepth = MaxDepth });
        var entries = new List<SafetensorsEntry>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = reader.GetString()!;
            if (name.Length is 0 or > MaxNameLength) throw Refuse(file, $"a tensor name has {name.Length} characters, bound 1 … {MaxNameLength}");
            if (!names.Add(name)) throw Refuse(file, $"tensor {name} appears twice");
            reader.Read();
            if (name == "__metadata__")
            {
                SkipMetadata(ref reader, file);
                continue;
            }

            if (entries.Count == MaxTensors) throw Refuse(file, $"more than {MaxTensors} tensors");
            entries.Add(ParseEntry(ref reader, name, file));
        }

        // What follows may only be white space; the reader throws at anything else.
        while (reader.Read())
        {
        }

        return entries;
    }

    private static void SkipMetadata(ref Utf8JsonReader reader, string file)
    {
        if (reader.TokenType != JsonTokenType.StartObject) throw Refuse(file, "__metadata__ is not an object");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            reader.Read();
            if (reader.TokenType != JsonTokenType.String) throw Refuse(file, "__metadata__ holds a value that is not a string");
        }
    }

    private static SafetensorsEntry ParseEntry(ref Utf8JsonReader reader, string name, string file)
    {
        if (reader.TokenType != JsonTokenType.StartObject) throw Refuse(file, $"tensor {name} is not an object");
        string? type = null;
        long[]? shape = null;
        long[]? offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var field = reader.GetString();
            reader.Read();
            switch (field)
            {
                case "dtype" when type is null && reader.TokenType == JsonTokenType.String:
                    type = reader.GetString();
                    break;
                case "shape" when shape is null:
                    shape = ParseNumbers(ref reader, name, "shape", MaxRank, file);
                    break;
                case "data_offsets" when offsets is null:
                    offsets = ParseNumbers(ref reader, name, "data_offsets", 2, file);
                    break;
                default:
                    throw Refuse(file, $"tensor {name} has the unexpected, repeated or ill-typed field {field}");
            }
        }

        if (type is null || shape is null || offsets is not { Length: 2 }) throw Refuse(file, $"tensor {name} lacks dtype, shape or two data_offsets");
        CheckSize(name, type, shape, offsets, file);
        return new SafetensorsEntry(name, type, shape, offsets[0], offsets[1]);
    }

    private static long[] ParseNumbers(ref Utf8JsonReader reader, string name, string field, int limit, string file)
    {
        if (reader.TokenType != JsonTokenType.StartArray) throw Refuse(file, $"tensor {name}: {field} is not an array");
        var numbers = new List<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (numbers.Count == limit) throw Refuse(file, $"tensor {name}: {field} has more than {limit} entries");
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var number) || number < 0)
                throw Refuse(file, $"tensor {name}: {field} holds something that is not an integer from 0 to {long.MaxValue}");
            numbers.Add(number);
        }

        return [.. numbers];
    }

    private static void CheckSize(string name, string type, long[] shape, long[] offsets, string file)
    {
        var elementBits = SafetensorsTypes.Bits(type) ?? throw Refuse(file, $"tensor {name} has the unknown dtype {type}");
        if (offsets[1] < offsets[0]) throw Refuse(file, $"tensor {name}: data_offsets end {offsets[1]} lies before begin {offsets[0]}");
        Int128 bytes = elementBits / 8;
        foreach (var dimension in shape)
        {
            bytes *= dimension;
            if (bytes > long.MaxValue) throw Refuse(file, $"tensor {name}: shape [{string.Join(", ", shape)}] overflows");
        }

        if (bytes != offsets[1] - offsets[0])
            throw Refuse(file, $"tensor {name}: shape [{string.Join(", ", shape)}] of {type} takes {bytes} bytes, data_offsets hold {offsets[1] - offsets[0]}");
    }

    private static void CheckLayout(List<SafetensorsEntry> entries, long dataLength, string file)
    {
        var position = 0L;
        foreach (var entry in entries)
        {
            if (entry.Begin != position)
                throw Refuse(file, $"tensor {entry.Name} begins at {entry.Begin}, {(entry.Begin < position ? "overlapping" : "leaving a hole behind")} the one before, which ends at {position}");
            if (entry.End > dataLength) throw Refuse(file, $"tensor {entry.Name} ends at {entry.End}, the data have {dataLength} bytes");
            position = entry.End;
        }

        if (position != dataLength) throw Refuse(file, $"tensors end at {position}, the data have {dataLength} bytes");
    }

    private static ModelImportException Refuse(string file, string reason) => new($"{file}: {reason}.");
}

/// <summary>Sizes of the format's element types.</summary>
internal static class SafetensorsTypes
{
    public const string F32 = "F32";
    public const string F16 = "F16";
    public const string BF16 = "BF16";

    public static int? Bits(string type) => type switch
    {
        "BOOL" or "U8" or "I8" or "F8_E5M2" or "F8_E4M3" or "F8_E8M0" => 8,
        "I16" or "U16" or F16 or BF16 => 16,
        "I32" or "U32" or F32 => 32,
        "I64" or "U64" or "F64" => 64,
        _ => null,
    };

    /// <summary>Whether weights of this type can be read.</summary>
    public static bool IsWeight(string type) => type is F32 or F16 or BF16;
}
