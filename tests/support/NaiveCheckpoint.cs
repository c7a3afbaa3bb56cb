using System.Buffers.Binary;
using System.Text.Json;

namespace Granary.Tests.Support;

/// <summary>All tensors of a Hugging Face folder as float64, read without any of the product's code.</summary>
public sealed class NaiveCheckpoint
{
    private readonly Dictionary<string, double[]> _tensors = [];

    public NaiveCheckpoint(string directory)
    {
        foreach (var path in Directory.EnumerateFiles(directory, "*.safetensors")) ReadFile(File.ReadAllBytes(path));
    }

    public bool Has(string name) => _tensors.ContainsKey(name);

    public double[] this[string name] => _tensors[name];

    private void ReadFile(byte[] bytes)
    {
        var headerLength = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        using var header = JsonDocument.Parse(bytes.AsMemory(8, headerLength));
        foreach (var property in header.RootElement.EnumerateObject())
        {
            if (property.Name == "__metadata__") continue;
            var begin = 8 + headerLength + property.Value.GetProperty("data_offsets")[0].GetInt32();
            var end = 8 + headerLength + property.Value.GetProperty("data_offsets")[1].GetInt32();
            _tensors.Add(property.Name, Convert(property.Value.GetProperty("dtype").GetString()!, bytes.AsSpan(begin, end - begin)));
        }
    }

    private static double[] Convert(string type, ReadOnlySpan<byte> bytes)
    {
        var size = type == "F32" ? 4 : 2;
        var values = new double[bytes.Length / size];
        for (var i = 0; i < values.Length; i++)
        {
            var element = bytes[(i * size)..];
            values[i] = type switch
            {
                "F32" => BinaryPrimitives.ReadSingleLittleEndian(element),
                "F16" => (double)BinaryPrimitives.ReadHalfLittleEndian(element),
                "BF16" => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(element) << 16),
                _ => throw new NotSupportedException(type),
            };
        }

        return values;
    }
}
