using System.Text.RegularExpressions;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

public sealed class WordScannerTests
{
    /// <summary>The scanners cut exactly where the expressions they stand for do.</summary>
    /// <remarks>The long s is left out: Oniguruma folds it to s, as the scanners do, and .NET does not.</remarks>
    [Theory, InlineData(WordScanner.Gpt2), InlineData(WordScanner.Gpt2Ordered), InlineData(WordScanner.Llama3), InlineData(WordScanner.Qwen)]
    public void AnyText_IsCutAsByTheExpression(string expression)
    {
        var scanner = WordScanner.TryCreate(expression)!;
        var regex = new Regex(expression, RegexOptions.CultureInvariant);
        const string Alphabet = "aZ'stSLlrevmdD 0159²\u0660 \n\r\t.,!-_é東\u00a0\u3000\u0301 '  ";
        for (var seed = 0; seed < 3000; seed++)
        {
            var random = new Random(seed);
            var text = string.Concat(Enumerable.Range(0, random.Next(1, 24)).Select(_ => Alphabet[random.Next(Alphabet.Length)]));
            var expected = regex.Matches(text).Select(match => match.Value).ToArray();
            var actual = new List<string>();
            for (var position = 0; position < text.Length; position += actual[^1].Length) actual.Add(text.Substring(position, scanner.NextLength(text.AsSpan(position))));
            Assert.True(expected.SequenceEqual(actual), $"seed {seed}: {string.Join('|', expected)} but {string.Join('|', actual)}");
        }
    }

    [Theory]
    [InlineData(@"[^\r\n]?+\p{L}++", @"(?>[^\r\n]?)(?>\p{L}+)")]
    [InlineData(@"(?i:'s|'t)?+x", @"(?>(?i:'s|'t)?)x")]
    [InlineData(@"[\p{Hiragana}x]\x{41}", @"[\u3041-\u3096\u309D-\u309Fx]\u0041")]
    public void Translate_Oniguruma_GivesDotNet(string source, string expected) => Assert.Equal(expected, OnigurumaSyntax.Translate(source));

    [Theory, InlineData("e\u0301", "\u00e9"), InlineData("a\u0323\u0302", "\u1ead"), InlineData("\u1112\u1161\u11ab", "\ud55c"), InlineData("\u0958", "\u0915\u093c")]
    public void Nfc_Composes(string text, string expected) => Assert.Equal(expected, UnicodeNormalization.Normalize(text, compatibility: false, compose: true));
}
