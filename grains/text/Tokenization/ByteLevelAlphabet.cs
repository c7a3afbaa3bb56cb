namespace Granary.Text.Tokenization;

/// <summary>The printable character that stands for each byte in byte-level vocabularies (GPT-2's table).</summary>
internal static class ByteLevelAlphabet
{
    private static readonly char[] CharOfByte = Build();
    private static readonly Dictionary<char, byte> ByteOfChar = Invert();

    public static char ToChar(byte value) => CharOfByte[value];

    public static bool TryToByte(char value, out byte result) => ByteOfChar.TryGetValue(value, out result);

    private static char[] Build()
    {
        var table = new char[256];
        var next = 256; // Bytes without a printable Latin-1 character take the code points from U+0100, in order.
        for (var value = 0; value < 256; value++)
        {
            var printable = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE and <= 0xFF;
            table[value] = (char)(printable ? value : next++);
        }

        return table;
    }

    private static Dictionary<char, byte> Invert()
    {
        var result = new Dictionary<char, byte>(256);
        for (var value = 0; value < 256; value++) result[CharOfByte[value]] = (byte)value;
        return result;
    }
}
