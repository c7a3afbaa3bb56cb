using System.Text.Json.Nodes;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

public sealed class PreTokenizerTests
{
    private const string Words = """{"Regex":"\\w+|[^\\w\\s]+"}""";

    [Theory]
    [InlineData("Removed", "How|are|you|doing|?")]
    [InlineData("Isolated", "How| |are| |you| |doing|?")]
    [InlineData("MergedWithPrevious", "How |are |you |doing|?")]
    [InlineData("MergedWithNext", "How| are| you| doing|?")]
    [InlineData("Contiguous", "How| |are| |you| |doing?")]
    public void Split_Inverted_FollowsItsBehavior(string behavior, string expected) =>
        AssertPieces($$"""{"type":"Split","pattern":{{Words}},"behavior":"{{behavior}}","invert":true}""", "How are you doing?", expected);

    [Theory]
    [InlineData("Removed", "a|b")]
    [InlineData("Isolated", "a|-|-|b|-")]
    [InlineData("MergedWithPrevious", "a-|-|b-")]
    [InlineData("MergedWithNext", "a|-|-b|-")]
    [InlineData("Contiguous", "a|--|b|-")]
    public void Split_Literal_FollowsItsBehavior(string behavior, string expected) =>
        AssertPieces($$"""{"type":"Split","pattern":{"String":"-"},"behavior":"{{behavior}}"}""", "a--b-", expected);

    /// <summary>A known pattern is found by hand; in a group it is not known, and the pieces are the same whatever becomes of them.</summary>
    [Theory]
    [InlineData("Isolated", false), InlineData("Isolated", true), InlineData("Removed", true), InlineData("Removed", false)]
    [InlineData("Contiguous", false), InlineData("MergedWithPrevious", false), InlineData("MergedWithNext", true)]
    public void Split_KnownPattern_CutsAsTheExpression(string behavior, bool invert)
    {
        const string Text = "I've seen 1234 lines!\n  é東 x\u00a0y'LL \r\n";
        Assert.Equal(Pieces($"(?:{WordScanner.Llama3})"), Pieces(WordScanner.Llama3));

        string[] Pieces(string expression)
        {
            var json = new JsonObject { ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = expression }, ["behavior"] = behavior, ["invert"] = invert };
            var output = new List<Piece>();
            PreTokenizer.Read(TokenizerFiles.Field("pre_tokenizer", json.ToJsonString()), out _).Single().Apply(new Piece(Text, 0, Text.Length), atStart: true, output);
            return [.. output.Select(piece => piece.Span.ToString())];
        }
    }

    [Theory]
    [InlineData("Hey man!", "Hey|man|!")]
    [InlineData("How are_you  doing?!", "How|are_you|doing|?!")]
    [InlineData("naïve e\u0301 東京", "naïve|e\u0301|東京")]
    public void Whitespace_CutsWordsAndSigns(string text, string expected) => AssertPieces("""{"type":"Whitespace"}""", text, expected);

    [Theory, InlineData("a  b\tc\u3000d", "a|b|c|d")]
    public void WhitespaceSplit_DropsBlanks(string text, string expected) => AssertPieces("""{"type":"WhitespaceSplit"}""", text, expected);

    [Fact]
    public void CharDelimiterSplit_DropsTheCharacter() => AssertPieces("""{"type":"CharDelimiterSplit","delimiter":"😀"}""", "a😀b 😀😀c", "a|b |c");

    [Theory]
    [InlineData("[{\"type\":\"WhitespaceSplit\"},{\"type\":\"Punctuation\"}]", "a, b!", "a|,|b|!")]
    [InlineData("[{\"type\":\"Punctuation\"},{\"type\":\"Digits\",\"individual_digits\":true}]", "a12,b", "a|1|2|,|b")]
    [InlineData("[{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"}]},{\"type\":\"Metaspace\",\"prepend_scheme\":\"always\"}]", "a b", "▁a|▁b")]
    [InlineData("[]", "a b", "a b")]
    public void Sequence_AppliesEachToThePiecesBefore(string steps, string text, string expected) =>
        AssertPieces($$"""{"type":"Sequence","pretokenizers":{{steps}}}""", text, expected);

    /// <summary>Byte-level words are spelt in the table's characters, which the expected pieces show.</summary>
    [Theory]
    [InlineData(false, true, "Hello my 😀", "Hello|Ġmy|ĠðŁĺĢ")]
    [InlineData(true, true, "Hello", "ĠHello")]
    [InlineData(true, true, " Hello", "ĠHello")]
    [InlineData(false, false, "a b\n", "aĠbĊ")]
    public void ByteLevel_SpellsBytes(bool prefixSpace, bool regex, string text, string expected)
    {
        var pieces = expected.Split('|');
        var model = TokenizerFiles.Model([.. pieces, .. pieces.SelectMany(piece => piece.Select(c => c.ToString())).Distinct().Except(pieces)], "[]");
        model["ignore_merges"] = true;
        var root = new JsonObject
        {
            ["model"] = model,
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = prefixSpace, ["use_regex"] = regex },
        };
        Assert.Equal(expected, TokenizerFiles.Encode(root, text));
    }

    [Theory]
    [InlineData("""{"type":"UnicodeScripts"}""", "UnicodeScripts")]
    [InlineData("""{"type":"Split","pattern":{"String":"a"},"behavior":"Doubled"}""", "Doubled")]
    [InlineData("""{"type":"Split","pattern":{"String":""},"behavior":"Removed"}""", "pre_tokenizer.pattern")]
    [InlineData("""{"type":"CharDelimiterSplit","delimiter":"ab"}""", "not one character")]
    [InlineData("""{"type":"Metaspace","replacement":"ab"}""", "not one character")]
    [InlineData("""{"type":"Metaspace","prepend_scheme":"last"}""", "last")]
    [InlineData("""{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]}""", "pretokenizers[1]")]
    public void Read_Unsupported_NamesIt(string json, string named)
    {
        var exception = Assert.Throws<TokenizerException>(() => PreTokenizer.Read(TokenizerFiles.Field("pre_tokenizer", json), out _));
        Assert.Contains(named, exception.Message);
    }

    private static void AssertPieces(string preTokenizer, string text, string expected) =>
        TokenizerFiles.AssertPieces($$"""{"pre_tokenizer":{{preTokenizer}}}""", text, expected);
}
