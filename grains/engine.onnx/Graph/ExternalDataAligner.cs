using System.Globalization;
using System.Text;

namespace Granary.Engine.Onnx.Graph;

/// <summary>Moves every piece of a model's external data, prepacked blobs included, to a page boundary.</summary>
/// <remarks>
/// ONNX Runtime aligns only pieces over 1 MiB when it saves a model. A prepacked blob of MatMulNBits finds its parts by rounding
/// its own address up to 64 bytes, so one that is mapped at another address modulo 64 than it was packed at reads garbage.
/// Format: external_data entries offset, length and prepacked_N = key|offset;length;checksum[|offset;length;checksum], as in
/// tensor_external_data_info of microsoft/onnxruntime.
/// </remarks>
internal static class ExternalDataAligner
{
    private const int GraphField = 7;
    private const int InitializerField = 5;
    private const int ExternalDataField = 13;

    /// <summary>Rewrites both files of a saved model; whoever calls makes the result durable.</summary>
    /// <exception cref="InvalidDataException">The model is no ONNX file, or places data outside of the weights file.</exception>
    public static void Align(string modelPath, string weightsPath)
    {
        var aligned = weightsPath + ".aligned";
        var model = new ProtoWriter();
        using (var source = new FileStream(weightsPath, FileMode.Open, FileAccess.Read))
        using (var target = new FileStream(aligned, FileMode.Create, FileAccess.Write))
        {
            var reader = new ProtoReader(File.ReadAllBytes(modelPath));
            while (reader.Next())
            {
                if (reader.Field == GraphField) model.Message(GraphField, Graph(reader.Value, source, target));
                else model.Append(reader.Raw);
            }
        }

        using (var stream = File.Create(modelPath)) stream.Write(model.Written);
        File.Move(aligned, weightsPath, overwrite: true);
    }

    private static ProtoWriter Graph(ReadOnlySpan<byte> graph, FileStream source, FileStream target)
    {
        var writer = new ProtoWriter();
        var reader = new ProtoReader(graph);
        while (reader.Next())
        {
            if (reader.Field == InitializerField) writer.Message(InitializerField, Tensor(reader.Value, source, target));
            else writer.Append(reader.Raw);
        }

        return writer;
    }

    private static ProtoWriter Tensor(ReadOnlySpan<byte> tensor, FileStream source, FileStream target)
    {
        var entries = new Dictionary<string, string>(StringComparer.Ordinal);
        var writer = new ProtoWriter();
        var reader = new ProtoReader(tensor);
        while (reader.Next())
        {
            if (reader.Field == ExternalDataField)
            {
                var (key, value) = Entry(reader.Value);
                entries[key] = value;
            }
            else writer.Append(reader.Raw);
        }

        if (entries.TryGetValue("offset", out var offset) && entries.TryGetValue("length", out var length))
            entries["offset"] = Move(Number(offset), Number(length), source, target).ToString(CultureInfo.InvariantCulture);
        foreach (var (key, value) in entries)
        {
            var entry = new ProtoWriter();
            entry.String(1, key);
            entry.String(2, key.StartsWith("prepacked", StringComparison.Ordinal) ? Blobs(value, source, target) : value);
            writer.Message(ExternalDataField, entry);
        }

        return writer;
    }

    private static string Blobs(string value, FileStream source, FileStream target)
    {
        var parts = value.Split('|');
        for (var i = 1; i < parts.Length; i++)
        {
            var fields = parts[i].Split(';');
            if (fields.Length != 3) throw new InvalidDataException($"A prepacked blob is placed by '{parts[i]}', expected offset;length;checksum.");
            fields[0] = Move(Number(fields[0]), Number(fields[1]), source, target).ToString(CultureInfo.InvariantCulture);
            parts[i] = string.Join(';', fields);
        }

        return string.Join('|', parts);
    }

    /// <returns>Where the piece lies now.</returns>
    private static long Move(long offset, long length, FileStream source, FileStream target)
    {
        if (offset > source.Length - length) throw new InvalidDataException($"External data at {offset}, {length} bytes long, exceed the file's {source.Length}.");
        target.Position = (target.Position + GraphBuilder.WeightAlignment - 1) / GraphBuilder.WeightAlignment * GraphBuilder.WeightAlignment;
        var place = target.Position;
        source.Position = offset;
        var buffer = new byte[(int)Math.Min(length, 1 << 20)];
        for (var left = length; left > 0;)
        {
            var chunk = buffer.AsSpan(0, (int)Math.Min(left, buffer.Length));
            source.ReadExactly(chunk);
            target.Write(chunk);
            left -= chunk.Length;
        }

        return place;
    }

    private static long Number(string text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw new InvalidDataException($"'{text}' is no place in a file.");

    private static (string Key, string Value) Entry(ReadOnlySpan<byte> entry)
    {
        var (key, value) = ("", "");
        var reader = new ProtoReader(entry);
        while (reader.Next())
        {
            if (reader.Field == 1) key = Encoding.UTF8.GetString(reader.Value);
            if (reader.Field == 2) value = Encoding.UTF8.GetString(reader.Value);
        }

        return (key, value);
    }
}
