using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Granary.Engine.Kv.Tiers;

/// <summary>CRC-32C over a block's name and content: what was written into one place and read from another is noticed too.</summary>
internal static class BlockChecksum
{
    public static uint Of(UInt128 name, ReadOnlySpan<byte> content)
    {
        var crc = BitOperations.Crc32C(BitOperations.Crc32C(uint.MaxValue, (ulong)name), (ulong)(name >> 64));
        var words = MemoryMarshal.Cast<byte, ulong>(content);
        foreach (var word in words) crc = BitOperations.Crc32C(crc, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));
        foreach (var rest in content[(words.Length * sizeof(ulong))..]) crc = BitOperations.Crc32C(crc, rest);
        return ~crc;
    }
}
