namespace Granary.Sharding.Links;

/// <summary>Bytes set aside, first in first out. Grows to what it must hold and gives large memory back once empty.</summary>
internal sealed class ByteQueue
{
    private const int KeptBytes = 1 << 20;

    private byte[] _bytes = [];
    private int _start;

    public int Count { get; private set; }

    public void Add(ReadOnlySpan<byte> bytes)
    {
        if (_start + Count + bytes.Length > _bytes.Length)
        {
            var target = Count + bytes.Length <= _bytes.Length ? _bytes : new byte[Math.Max(Math.Min(2L * _bytes.Length, Array.MaxLength), Count + bytes.Length)];
            _bytes.AsSpan(_start, Count).CopyTo(target);
            _bytes = target;
            _start = 0;
        }

        bytes.CopyTo(_bytes.AsSpan(_start + Count));
        Count += bytes.Length;
    }

    public int Take(Span<byte> destination)
    {
        var taken = Math.Min(Count, destination.Length);
        _bytes.AsSpan(_start, taken).CopyTo(destination);
        _start += taken;
        Count -= taken;
        if (Count > 0) return taken;
        _start = 0;
        if (_bytes.Length > KeptBytes) _bytes = [];
        return taken;
    }
}
