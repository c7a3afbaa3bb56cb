using System.Buffers.Binary;
using System.Numerics;

namespace Granary.Sharding.Links;

/// <summary>A frame's header as it is on the wire: 44 bytes, little-endian, the last four the checksum of those before.</summary>
/// <param name="Kind">A <see cref="FrameKind"/>, or <see cref="Pulse"/>, or <see cref="Abort"/>.</param>
/// <param name="Credits">Frames of the other direction that were read since the last header: the sender of this one can take so many more.</param>
/// <param name="Epoch">The replica's life.</param>
/// <param name="Step">Of the engine; 0 for frames of the link itself.</param>
/// <param name="Sequence">Counts the headers of this direction, from 0.</param>
/// <param name="Length">Bytes of payload behind the header.</param>
/// <param name="Checksum">Of the payload.</param>
internal readonly record struct Frame(byte Kind, ushort Credits, long Epoch, long Step, long Sequence, int Length, uint Checksum)
{
    public const int HeaderBytes = 44;
    public const byte Version = 1;

    /// <summary>Says that this end lives, and gives credits back. No payload.</summary>
    public const byte Pulse = 64;

    /// <summary>The last frame of an end that gives up; the payload is why, as UTF-8.</summary>
    public const byte Abort = 65;

    private const uint Magic = 0x4B4C_4E47; // "GNLK"
    private const int ChecksummedBytes = HeaderBytes - sizeof(uint);

    public bool IsPulse => Kind == Pulse;

    public bool IsAbort => Kind == Abort;

    public void Write(Span<byte> header)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        header[4] = Version;
        header[5] = Kind;
        BinaryPrimitives.WriteUInt16LittleEndian(header[6..], Credits);
        BinaryPrimitives.WriteInt64LittleEndian(header[8..], Epoch);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], Step);
        BinaryPrimitives.WriteInt64LittleEndian(header[24..], Sequence);
        BinaryPrimitives.WriteInt32LittleEndian(header[32..], Length);
        BinaryPrimitives.WriteUInt32LittleEndian(header[36..], Checksum);
        BinaryPrimitives.WriteUInt32LittleEndian(header[ChecksummedBytes..], HeaderChecksum(header));
    }

    /// <returns>What is wrong with the header; <see langword="null"/> where nothing is.</returns>
    public static string? TryRead(ReadOnlySpan<byte> header, long epoch, long sequence, int maxLength, out Frame frame)
    {
        frame = new(
            header[5], BinaryPrimitives.ReadUInt16LittleEndian(header[6..]), BinaryPrimitives.ReadInt64LittleEndian(header[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(header[16..]), BinaryPrimitives.ReadInt64LittleEndian(header[24..]),
            BinaryPrimitives.ReadInt32LittleEndian(header[32..]), BinaryPrimitives.ReadUInt32LittleEndian(header[36..]));
        if (BinaryPrimitives.ReadUInt32LittleEndian(header) is var magic && magic != Magic) return $"magic is {magic:x8}, expected {Magic:x8}";
        if (BinaryPrimitives.ReadUInt32LittleEndian(header[ChecksummedBytes..]) != HeaderChecksum(header)) return "the header's checksum is wrong";
        if (header[4] != Version) return $"protocol version is {header[4]}, expected {Version}";
        if (frame.Kind is not ((>= (byte)FrameKind.Plan and <= (byte)FrameKind.Failure) or Pulse or Abort)) return $"kind is {frame.Kind}, which is none";
        if (frame.Epoch != epoch) return $"epoch is {frame.Epoch}, expected {epoch}";
        if (frame.Sequence != sequence) return $"sequence number is {frame.Sequence}, expected {sequence}";
        var longest = frame.IsPulse ? 0 : frame.IsAbort ? LinkMessages.MaxReasonBytes : maxLength;
        if (frame.Length < 0 || frame.Length > longest) return $"length is {frame.Length}, at most {longest}";
        return null;
    }

    private static uint HeaderChecksum(ReadOnlySpan<byte> header)
    {
        var checksum = uint.MaxValue;
        for (var i = 0; i < ChecksummedBytes; i += sizeof(ulong))
        {
            checksum = BitOperations.Crc32C(checksum, BinaryPrimitives.ReadUInt64LittleEndian(header[i..]));
        }

        return checksum;
    }
}
