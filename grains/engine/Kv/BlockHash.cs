using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Granary.Engine.Kv;

/// <summary>Names a full block by everything that its keys and values depend on: the cache salt and all tokens up to its end.</summary>
/// <remarks>
/// The first 128 bits of SHA-256 over (name of the block before, tokens): the same on every machine, and not to be forged by a caller
/// who may choose tokens. A hit is still compared token by token (<c>PrefixIndex</c>).
/// </remarks>
internal static class BlockHash
{
    private const int MostStackTokens = 256;

    /// <summary>The name before the first block.</summary>
    public static UInt128 Root(string? salt) =>
        Digest(salt is null ? [] : Encoding.UTF8.GetBytes($"salt:{salt}"));

    public static UInt128 Next(UInt128 previous, ReadOnlySpan<int> tokens)
    {
        var length = 16 + 4 * tokens.Length;
        var bytes = tokens.Length <= MostStackTokens ? stackalloc byte[length] : new byte[length];
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, previous);
        if (BitConverter.IsLittleEndian)
        {
            MemoryMarshal.AsBytes(tokens).CopyTo(bytes[16..]);
        }
        else
        {
            for (var i = 0; i < tokens.Length; i++) BinaryPrimitives.WriteInt32LittleEndian(bytes[(16 + 4 * i)..], tokens[i]);
        }

        return Digest(bytes);
    }

    private static UInt128 Digest(ReadOnlySpan<byte> bytes)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, digest);
        return BinaryPrimitives.ReadUInt128LittleEndian(digest);
    }
}
