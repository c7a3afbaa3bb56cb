using System.Globalization;
using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>A copy of a text in which every character beyond the BMP is one char of the same category.</summary>
/// <remarks>
/// .NET's regular expressions see UTF-16 units, those of tokenizer files see code points: <c>\p{L}</c> would miss a
/// mathematical letter, and <c>.</c> would cut an emoji in two.
/// </remarks>
internal static class AstralShadow
{
    /// <param name="offsets">For each char of the shadow, and its end, the offset in <paramref name="text"/>; null where both are the same.</param>
    public static ReadOnlySpan<char> Of(ReadOnlySpan<char> text, out int[]? offsets)
    {
        offsets = null;
        if (!text.ContainsAnyInRange('\uD800', '\uDFFF')) return text;

        var shadow = new char[text.Length];
        offsets = new int[text.Length + 1];
        var length = 0;
        for (var position = 0; position < text.Length;)
        {
            Rune.DecodeFromUtf16(text[position..], out var rune, out var consumed);
            offsets[length] = position;
            shadow[length++] = rune.IsBmp ? (char)rune.Value : Representative(rune);
            position += consumed;
        }

        offsets[length] = text.Length;
        return shadow.AsSpan(0, length);
    }

    private static char Representative(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.OtherLetter when rune.Value is >= 0x20000 and <= 0x3FFFF => '\u4E00',
        UnicodeCategory.OtherLetter => '\uA000',
        UnicodeCategory.UppercaseLetter => '\u0420',
        UnicodeCategory.LowercaseLetter => '\u0440',
        UnicodeCategory.ModifierLetter => '\uA717',
        UnicodeCategory.NonSpacingMark => '\u0300',
        UnicodeCategory.SpacingCombiningMark => '\u0903',
        UnicodeCategory.DecimalDigitNumber => '\u0660',
        UnicodeCategory.LetterNumber => '\u2160',
        UnicodeCategory.OtherNumber => '\u2460',
        UnicodeCategory.OtherPunctuation => '\u2020',
        UnicodeCategory.DashPunctuation => '\u2010',
        UnicodeCategory.MathSymbol => '\u2200',
        UnicodeCategory.CurrencySymbol => '\u20AC',
        UnicodeCategory.ModifierSymbol => '\u02C2',
        UnicodeCategory.Format => '\u200B',
        UnicodeCategory.PrivateUse => '\uE000',
        UnicodeCategory.OtherNotAssigned => '\uFFFF',
        _ => '\u2600',
    };
}
