using System.Runtime.InteropServices;
using System.Text.Json;

namespace Granary.Client;

/// <summary>Reads the gateway's answers that are not streams.</summary>
internal static class AnswerReader
{
    /// <param name="inputs">How many vectors there must be.</param>
    /// <exception cref="FormatException">There are others.</exception>
    public static EmbeddingResponse Embeddings(JsonElement body, int inputs)
    {
        var vectors = new ReadOnlyMemory<float>[inputs];
        var found = 0;
        foreach (var item in body.GetProperty("data").EnumerateArray())
        {
            var index = item.GetProperty("index").GetInt32();
            if ((uint)index >= (uint)inputs) throw new FormatException($"It has a vector {index} for {inputs} inputs.");
            vectors[index] = Vector(item.GetProperty("embedding"));
            found++;
        }

        if (found != inputs || vectors.Any(vector => vector.IsEmpty)) throw new FormatException($"It has {found} vectors for {inputs} inputs.");
        return new(body.GetProperty("model").GetString() ?? "", vectors, body.GetProperty("usage").GetProperty("prompt_tokens").GetInt32());
    }

    public static IReadOnlyList<ModelInfo> Models(JsonElement body) =>
    [
        .. body.GetProperty("data").EnumerateArray()
            .Select(model => new ModelInfo(
                model.GetProperty("id").GetString() ?? "", DateTimeOffset.FromUnixTimeSeconds(model.GetProperty("created").GetInt64()),
                model.TryGetProperty("max_model_len", out var length) ? length.GetInt32() : 0))
            .OrderBy(model => model.Name, StringComparer.Ordinal),
    ];

    public static int[] Tokens(JsonElement body) => [.. body.GetProperty("tokens").EnumerateArray().Select(id => id.GetInt32())];

    public static string Text(JsonElement body) => body.GetProperty("prompt").GetString() ?? "";

    /// <summary>Little-endian 32-bit floats in base64, or a list of numbers.</summary>
    private static ReadOnlyMemory<float> Vector(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.Array) return value.EnumerateArray().Select(component => component.GetSingle()).ToArray();
        var bytes = value.GetBytesFromBase64();
        if (bytes.Length % sizeof(float) != 0) throw new FormatException($"A vector has {bytes.Length} bytes, which are no 32-bit numbers.");
        return MemoryMarshal.Cast<byte, float>(bytes).ToArray();
    }
}
