using System.Text;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

public sealed class NormalizerTests
{
    [Theory]
    [InlineData("""{"type":"NFC"}""", "e\u0301 ﬁ", "é ﬁ")]
    [InlineData("""{"type":"NFD"}""", "é ﬁ", "e\u0301 ﬁ")]
    [InlineData("""{"type":"NFKC"}""", "e\u0301 ﬁ ① ｱ", "é fi 1 ア")]
    [InlineData("""{"type":"NFKD"}""", "é ﬁ …", "e\u0301 fi ...")]
    [InlineData("""{"type":"NFD"}""", "한", "\u1112\u1161\u11ab")]
    [InlineData("""{"type":"Lowercase"}""", "ÀbÇ ΣΑΣ İ", "àbç σασ i\u0307")]
    [InlineData("""{"type":"Strip"}""", " \t a b \u3000\n", "a b")]
    [InlineData("""{"type":"Strip","strip_left":false,"strip_right":true}""", " a ", " a")]
    [InlineData("""{"type":"Prepend","prepend":"▁"}""", "a", "▁a")]
    [InlineData("""{"type":"Prepend","prepend":"▁"}""", "", "")]
    [InlineData("""{"type":"Replace","pattern":{"String":" "},"content":"▁"}""", "a  b ", "a▁▁b▁")]
    [InlineData("""{"type":"Replace","pattern":{"String":"aa"},"content":"b"}""", "aaaaa", "bba")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}""", "a   b c", "a b c")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":"x"},"content":"$0"}""", "axb", "a$0b")]
    [InlineData("""{"type":"StripAccents"}""", "e\u0304\u0304\u0304o é", "eo é")]
    [InlineData("""{"type":"StripAccents"}""", "\u0915\u093e a\u20dd", "\u0915 a")]
    [InlineData("""{"type":"Sequence","normalizers":[{"type":"NFKD"},{"type":"StripAccents"},{"type":"Lowercase"}]}""", "Cụ Thể…", "cu the...")]
    [InlineData("""{"type":"Sequence","normalizers":[]}""", "a", "a")]
    public void Apply_GivesTheForm(string normalizer, string text, string expected) =>
        Assert.Equal(expected, Normalizer.Read(TokenizerFiles.Field("normalizer", normalizer))!.Apply(text));

    [Theory, InlineData("Precompiled"), InlineData("BertNormalizer"), InlineData("Nmt")]
    public void Read_UnknownType_IsRefusedByName(string type)
    {
        var exception = Assert.Throws<TokenizerException>(() => Normalizer.Read(TokenizerFiles.Field("normalizer", $$"""{"type":"{{type}}"}""")));
        Assert.Contains(type, exception.Message);
    }

    /// <summary>A text in its form already is found to be so, and any other is not: the quick way and the whole way give the same.</summary>
    [Theory, InlineData(false, true), InlineData(false, false), InlineData(true, true), InlineData(true, false)]
    public void Normalize_QuickCheck_NeverChangesTheResult(bool compatibility, bool compose)
    {
        // What follows 'q' changes in every form, so that text is always normalized in full, and nothing before 'q' depends on it.
        var changing = UnicodeNormalization.Normalize("q\u0344", compatibility, compose);
        Assert.Equal("q\u0308\u0301", changing);
        int[] starts = [0x20, 0xA0, 0xC0, 0x300, 0x370, 0x900, 0x1100, 0x1160, 0x11A0, 0x1E00, 0x2100, 0x3040, 0xAC00, 0xF900, 0xFB00, 0x1D15E, 0x2F800, 0x1F600];
        for (var seed = 0; seed < 5000; seed++)
        {
            var random = new Random(seed);
            var text = new StringBuilder();
            for (var count = random.Next(1, 6); count > 0; count--) text.Append(new Rune(starts[random.Next(starts.Length)] + random.Next(0x60)));
            var quick = UnicodeNormalization.Normalize(text.ToString(), compatibility, compose);
            Assert.True(quick + changing == UnicodeNormalization.Normalize(text + "q\u0344", compatibility, compose), $"seed {seed}");
            Assert.True(quick == UnicodeNormalization.Normalize(quick, compatibility, compose), $"seed {seed}: not stable");
        }
    }
}
