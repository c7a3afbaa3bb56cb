namespace Granary.Engine.Onnx.Graph;

/// <summary>Walks the fields of one protobuf message without copying.</summary>
/// <exception cref="InvalidDataException">The bytes are no message.</exception>
internal ref struct ProtoReader(ReadOnlySpan<byte> message)
{
    private readonly ReadOnlySpan<byte> _message = message;
    private int _position;

    public int Field { get; private set; }

    /// <summary>The content of a length-delimited field; empty for others.</summary>
    public ReadOnlySpan<byte> Value { get; private set; }

    /// <summary>The whole field, tag included, to be copied as it is.</summary>
    public ReadOnlySpan<byte> Raw { get; private set; }

    public bool Next()
    {
        if (_position == _message.Length) return false;
        var start = _position;
        var tag = Varint();
        Field = (int)(tag >> 3);
        Value = (tag & 7) switch
        {
            0 => Number(),
            1 => Skip(8),
            2 => Take(Varint()),
            5 => Skip(4),
            _ => throw new InvalidDataException($"Wire type {tag & 7} at byte {start} of a message."),
        };
        Raw = _message[start.._position];
        return true;
    }

    private ReadOnlySpan<byte> Number()
    {
        Varint();
        return [];
    }

    private ReadOnlySpan<byte> Skip(ulong count)
    {
        Take(count);
        return [];
    }

    private ReadOnlySpan<byte> Take(ulong count)
    {
        if (count > (ulong)(_message.Length - _position)) throw new InvalidDataException($"A field of {count} bytes at byte {_position} of a message of {_message.Length}.");
        var value = _message.Slice(_position, (int)count);
        _position += (int)count;
        return value;
    }

    private ulong Varint()
    {
        var value = 0UL;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (_position == _message.Length) break;
            var part = _message[_position++];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80) return value;
        }

        throw new InvalidDataException($"No integer ends at byte {_position} of a message of {_message.Length}.");
    }
}
