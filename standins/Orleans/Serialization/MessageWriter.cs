using System.Runtime.CompilerServices;
using System.Text;

namespace Orleans.Serialization;

/// <summary>Bytes of one message, as they are written.</summary>
internal sealed class MessageWriter
{
    /// <summary>Objects within objects; deeper graphs, cyclic ones above all, are refused.</summary>
    public const int MaxDepth = 256;

    [ThreadStatic]
    private static MessageWriter? _cached;

    private byte[] _buffer = new byte[256];
    private int _position;
    private int _depth;

    public static MessageWriter Rent()
    {
        var writer = _cached ?? new MessageWriter();
        _cached = null;
        writer._position = 0;
        writer._depth = 0;
        return writer;
    }

    /// <summary>Gives the writer back and takes what was written.</summary>
    public byte[] ToMessage()
    {
        var message = _buffer.AsSpan(0, _position).ToArray();
        Return();
        return message;
    }

    public void Return()
    {
        if (_buffer.Length <= 1 << 20) _cached = this;
    }

    public void Enter(Type type)
    {
        if (++_depth > MaxDepth) throw new SerializerException($"{type}: the object graph is more than {MaxDepth} objects deep, or cyclic.");
    }

    public void Leave() => _depth--;

    public void WriteByte(byte value)
    {
        Reserve(1)[0] = value;
        _position++;
    }

    public void WriteVarUInt(ulong value)
    {
        var span = Reserve(10);
        var n = 0;
        while (value >= 0x80)
        {
            span[n++] = (byte)(value | 0x80);
            value >>= 7;
        }

        span[n++] = (byte)value;
        _position += n;
    }

    public void WriteVarInt(long value) => WriteVarUInt((ulong)((value << 1) ^ (value >> 63)));

    /// <summary>A value without references, by its bytes.</summary>
    public void WriteRaw<T>(T value)
        where T : unmanaged
    {
        var span = Reserve(Unsafe.SizeOf<T>());
        Unsafe.WriteUnaligned(ref span[0], value);
        _position += Unsafe.SizeOf<T>();
    }

    public void WriteBytes(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Reserve(bytes.Length));
        _position += bytes.Length;
    }

    public void WriteString(string value)
    {
        var count = Encoding.UTF8.GetByteCount(value);
        WriteVarUInt((ulong)count);
        Encoding.UTF8.GetBytes(value, Reserve(count));
        _position += count;
    }

    private Span<byte> Reserve(int count)
    {
        if (_buffer.Length - _position < count) Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, _position + count));
        return _buffer.AsSpan(_position);
    }
}

/// <summary>Reads what a <see cref="MessageWriter"/> wrote, on behalf of the silo or client that received it.</summary>
internal sealed class MessageReader(byte[] message, Runtime.IReferenceBinder binder)
{
    private int _position;

    /// <summary>Makes the references in the message the receiver's own.</summary>
    public Runtime.IReferenceBinder Binder { get; } = binder;

    public byte ReadByte() => message[_position++];

    public ulong ReadVarUInt()
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var b = message[_position++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80) return value;
        }
    }

    public long ReadVarInt()
    {
        var raw = ReadVarUInt();
        return (long)(raw >> 1) ^ -(long)(raw & 1);
    }

    public int ReadCount() => checked((int)ReadVarUInt());

    public T ReadRaw<T>()
        where T : unmanaged
    {
        var value = Unsafe.ReadUnaligned<T>(ref message.AsSpan(_position, Unsafe.SizeOf<T>())[0]);
        _position += Unsafe.SizeOf<T>();
        return value;
    }

    public ReadOnlySpan<byte> ReadBytes(int count)
    {
        var span = message.AsSpan(_position, count);
        _position += count;
        return span;
    }

    public string ReadString() => Encoding.UTF8.GetString(ReadBytes(ReadCount()));
}
