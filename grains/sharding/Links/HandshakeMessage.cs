using System.Buffers.Binary;

namespace Granary.Sharding.Links;

/// <summary>A message before the first frame: magic, kind, length, body; at most <see cref="MaxBytes"/>, as anybody may send it.</summary>
internal static class HandshakeMessage
{
    public const byte Hello = 1;
    public const byte Challenge = 2;
    public const byte Proof = 3;
    public const byte Accepted = 4;
    public const byte Refused = 5;
    public const int MaxBytes = LinkMessages.MaxReasonBytes;

    private const uint Magic = 0x5348_4E47; // "GNHS"
    private const int HeaderBytes = 7;

    public static bool Write(ByteDuplex wire, byte kind, ReadOnlySpan<byte> body)
    {
        Span<byte> header = stackalloc byte[HeaderBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        header[4] = kind;
        BinaryPrimitives.WriteUInt16LittleEndian(header[5..], (ushort)body.Length);
        return wire.Write(header, body);
    }

    /// <returns>The kind; 0 where the wire is over or carries something else.</returns>
    public static byte TryRead(ByteDuplex wire, out byte[] body)
    {
        body = [];
        Span<byte> header = stackalloc byte[HeaderBytes];
        if (!wire.ReadExactly(header) || BinaryPrimitives.ReadUInt32LittleEndian(header) != Magic) return 0;
        var length = BinaryPrimitives.ReadUInt16LittleEndian(header[5..]);
        if (length > MaxBytes) return 0;
        body = new byte[length];
        return wire.ReadExactly(body) ? header[4] : (byte)0;
    }
}
