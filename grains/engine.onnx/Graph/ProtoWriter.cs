using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Granary.Engine.Onnx.Graph;

/// <summary>Writes the fields of one protobuf message; messages nest by being written into each other.</summary>
/// <remarks>Only what ONNX needs: varint, fixed 32 bit and length-delimited fields. Weights never pass through here.</remarks>
internal sealed class ProtoWriter
{
    private const int VarintWire = 0;
    private const int LengthWire = 2;
    private const int Fixed32Wire = 5;

    private readonly ArrayBufferWriter<byte> _buffer = new();

    public ReadOnlySpan<byte> Written => _buffer.WrittenSpan;

    public void Integer(int field, long value)
    {
        Tag(field, VarintWire);
        Varint((ulong)value);
    }

    public void Float(int field, float value)
    {
        Tag(field, Fixed32Wire);
        BinaryPrimitives.WriteSingleLittleEndian(_buffer.GetSpan(4), value);
        _buffer.Advance(4);
    }

    public void String(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    public void Message(int field, ProtoWriter message) => Bytes(field, message.Written);

    /// <summary>Copies the fields of another writer into this message.</summary>
    public void Append(ProtoWriter fields) => _buffer.Write(fields.Written);

    private void Bytes(int field, ReadOnlySpan<byte> value)
    {
        Tag(field, LengthWire);
        Varint((ulong)value.Length);
        _buffer.Write(value);
    }

    private void Tag(int field, int wire) => Varint((ulong)(field << 3 | wire));

    private void Varint(ulong value)
    {
        var span = _buffer.GetSpan(10);
        var count = 0;
        for (; value >= 0x80; value >>= 7) span[count++] = (byte)(value | 0x80);
        span[count++] = (byte)value;
        _buffer.Advance(count);
    }
}
