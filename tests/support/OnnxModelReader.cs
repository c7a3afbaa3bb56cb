using System.Text;

namespace Granary.Tests.Support;

/// <summary>A node of a model file.</summary>
public sealed record OnnxNode(string Domain, string Operation, string Name, string[] Inputs, string[] Outputs, IReadOnlyDictionary<string, double> Attributes);

/// <summary>A constant of a model file that lies in the external data file.</summary>
public sealed record OnnxTensor(string Name, int ElementType, long[] Dimensions, long Offset, long Length);

/// <summary>Reads the parts of an ONNX file that tests look at, independently of the writer.</summary>
public sealed class OnnxModelReader
{
    private readonly string _directory;

    public OnnxModelReader(string directory)
    {
        _directory = directory;
        foreach (var (field, value) in Fields(File.ReadAllBytes(Path.Combine(directory, "model.onnx"))))
        {
            if (field == 1) IrVersion = value.Number;
            if (field == 8) Opsets.Add(Text(value.Bytes, 1), Number(value.Bytes, 2));
            if (field == 7) ReadGraph(value.Bytes);
        }
    }

    public long IrVersion { get; }

    public Dictionary<string, long> Opsets { get; } = [];

    public List<OnnxNode> Nodes { get; } = [];

    public Dictionary<string, OnnxTensor> Tensors { get; } = [];

    public List<string> Inputs { get; } = [];

    public List<string> Outputs { get; } = [];

    public IEnumerable<OnnxNode> Of(string operation) => Nodes.Where(node => node.Operation == operation);

    public OnnxNode Node(string name) => Nodes.Single(node => node.Name == name);

    /// <summary>Bytes of a constant.</summary>
    public byte[] Bytes(string tensor)
    {
        var place = Tensors[tensor];
        using var file = File.OpenRead(Path.Combine(_directory, "model.onnx.data"));
        file.Position = place.Offset;
        var bytes = new byte[place.Length];
        file.ReadExactly(bytes);
        return bytes;
    }

    /// <summary>A float32 constant.</summary>
    public float[] Floats(string tensor) => System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(Bytes(tensor)).ToArray();

    private void ReadGraph(byte[] graph)
    {
        foreach (var (field, value) in Fields(graph))
        {
            if (field == 1) Nodes.Add(ReadNode(value.Bytes));
            if (field == 5) ReadTensor(value.Bytes);
            if (field == 11) Inputs.Add(Text(value.Bytes, 1));
            if (field == 12) Outputs.Add(Text(value.Bytes, 1));
        }
    }

    private static OnnxNode ReadNode(byte[] node)
    {
        var attributes = new Dictionary<string, double>();
        foreach (var (field, value) in Fields(node))
        {
            if (field != 5) continue;
            var isFloat = Number(value.Bytes, 20) == 1;
            attributes.Add(Text(value.Bytes, 1), isFloat ? BitConverter.UInt32BitsToSingle((uint)Number(value.Bytes, 2)) : Number(value.Bytes, 3));
        }

        return new OnnxNode(Text(node, 7), Text(node, 4), Text(node, 3), Texts(node, 1), Texts(node, 2), attributes);
    }

    private void ReadTensor(byte[] tensor)
    {
        var external = Fields(tensor).Where(f => f.Field == 13).ToDictionary(f => Text(f.Value.Bytes, 1), f => Text(f.Value.Bytes, 2));
        var dimensions = Fields(tensor).Where(f => f.Field == 1).Select(f => f.Value.Number).ToArray();
        var name = Text(tensor, 8);
        Tensors.Add(name, new OnnxTensor(name, (int)Number(tensor, 2), dimensions, long.Parse(external["offset"]), long.Parse(external["length"])));
    }

    private static string Text(byte[] message, int field) => Texts(message, field).FirstOrDefault("");

    private static string[] Texts(byte[] message, int field) => [.. Fields(message).Where(f => f.Field == field).Select(f => Encoding.UTF8.GetString(f.Value.Bytes))];

    private static long Number(byte[] message, int field) => Fields(message).Where(f => f.Field == field).Select(f => f.Value.Number).FirstOrDefault();

    private static IEnumerable<(int Field, (long Number, byte[] Bytes) Value)> Fields(byte[] message)
    {
        for (var position = 0; position < message.Length;)
        {
            var tag = (int)Varint(message, ref position);
            switch (tag & 7)
            {
                case 0:
                    yield return (tag >> 3, (Varint(message, ref position), []));
                    break;
                case 2:
                    var length = (int)Varint(message, ref position);
                    yield return (tag >> 3, (0, message[position..(position + length)]));
                    position += length;
                    break;
                case 5:
                    yield return (tag >> 3, (BitConverter.ToUInt32(message, position), []));
                    position += 4;
                    break;
                default:
                    throw new InvalidDataException($"Wire type {tag & 7} at {position}.");
            }
        }
    }

    private static long Varint(byte[] message, ref int position)
    {
        var value = 0UL;
        for (var shift = 0; ; shift += 7)
        {
            var part = message[position++];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80) return (long)value;
        }
    }
}
