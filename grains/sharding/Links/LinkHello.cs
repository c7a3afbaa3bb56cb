using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Granary.Engine.Partitioning;

namespace Granary.Sharding.Links;

/// <summary>What a dialer says first.</summary>
/// <param name="MinVersion">Oldest protocol version it speaks.</param>
/// <param name="MaxVersion">Newest.</param>
/// <param name="Nonce">Of this connection, so that no proof fits another.</param>
/// <param name="Credits">Its <see cref="LinkOptions.Credits"/>.</param>
/// <param name="MaxFrameBytes">Its <see cref="LinkOptions.MaxFrameBytes"/>.</param>
/// <param name="Identity">The link it wants.</param>
internal sealed record LinkHello(byte MinVersion, byte MaxVersion, byte[] Nonce, int Credits, int MaxFrameBytes, LinkIdentity Identity)
{
    public const int NonceBytes = 32;
    public const int MaxReplicaIdBytes = 512;

    private const int FixedBytes = 2 + NonceBytes + 8 + 8 + 16 + 1;

    /// <exception cref="LinkException">The replica's id is too long.</exception>
    public byte[] Encode()
    {
        var replica = Encoding.UTF8.GetBytes(Identity.ReplicaId);
        if (replica.Length is 0 or > MaxReplicaIdBytes)
        {
            throw new LinkException(LinkFailure.Refused, $"The replica's id is {replica.Length} bytes long, 1 to {MaxReplicaIdBytes} are allowed.");
        }

        var bytes = new byte[FixedBytes + replica.Length];
        bytes[0] = MinVersion;
        bytes[1] = MaxVersion;
        Nonce.CopyTo(bytes, 2);
        var rest = bytes.AsSpan(2 + NonceBytes);
        BinaryPrimitives.WriteInt32LittleEndian(rest, Credits);
        BinaryPrimitives.WriteInt32LittleEndian(rest[4..], MaxFrameBytes);
        BinaryPrimitives.WriteInt64LittleEndian(rest[8..], Identity.Epoch);
        BinaryPrimitives.WriteInt32LittleEndian(rest[16..], Identity.Dialer.Stage);
        BinaryPrimitives.WriteInt32LittleEndian(rest[20..], Identity.Dialer.Rank);
        BinaryPrimitives.WriteInt32LittleEndian(rest[24..], Identity.Acceptor.Stage);
        BinaryPrimitives.WriteInt32LittleEndian(rest[28..], Identity.Acceptor.Rank);
        rest[32] = (byte)Identity.Purpose;
        replica.CopyTo(rest[33..]);
        return bytes;
    }

    public static bool TryDecode(ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out LinkHello? hello)
    {
        hello = null;
        if (bytes.Length is <= FixedBytes or > FixedBytes + MaxReplicaIdBytes) return false;
        var rest = bytes[(2 + NonceBytes)..];
        var identity = new LinkIdentity(
            Encoding.UTF8.GetString(rest[33..]),
            BinaryPrimitives.ReadInt64LittleEndian(rest[8..]),
            new ShardPlace(BinaryPrimitives.ReadInt32LittleEndian(rest[16..]), BinaryPrimitives.ReadInt32LittleEndian(rest[20..])),
            new ShardPlace(BinaryPrimitives.ReadInt32LittleEndian(rest[24..]), BinaryPrimitives.ReadInt32LittleEndian(rest[28..])),
            (LinkPurpose)rest[32]);
        hello = new(
            bytes[0], bytes[1], bytes.Slice(2, NonceBytes).ToArray(),
            BinaryPrimitives.ReadInt32LittleEndian(rest), BinaryPrimitives.ReadInt32LittleEndian(rest[4..]), identity);
        return true;
    }
}
