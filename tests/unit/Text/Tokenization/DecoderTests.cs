using System.Text.Json.Nodes;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

/// <summary>Post-processors, decoders and added tokens of a tokenizer file, one by one.</summary>
public sealed class DecoderTests
{
    [Theory]
    [InlineData("""{"type":"ByteLevel"}""", "Hello|Ġmy|ĠðŁ|ĺĢ", "Hello my 😀")]
    [InlineData("""{"type":"ByteLevel"}""", "ðŁ|a", "\ufffda")]
    [InlineData("""{"type":"ByteFallback"}""", "Hey|friend!", "Heyfriend!")]
    [InlineData("""{"type":"ByteFallback"}""", "<0xE5>|<0x8f>|<0xab>|a", "叫a")]
    [InlineData("""{"type":"ByteFallback"}""", "<0xE5>|<0x8f>|a", "\ufffd\ufffda")]
    [InlineData("""{"type":"ByteFallback"}""", "<0xZZ>|<0x61>", "<0xZZ>a")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}""", "▁Hey|▁my|▁▁x", "Hey my  x")]
    [InlineData("""{"type":"Metaspace","replacement":"▁","prepend_scheme":"never"}""", "▁Hey|▁my", " Hey my")]
    [InlineData("""{"type":"Fuse"}""", "a|b", "ab")]
    [InlineData("""{"type":"Replace","pattern":{"String":"▁"},"content":" "}""", "▁a|b▁▁", " ab  ")]
    [InlineData("""{"type":"Replace","pattern":{"Regex":"x+"},"content":"-"}""", "axx|xb", "a--b")]
    [InlineData("""{"type":"Strip","content":"H","start":1,"stop":0}""", "Hey| friend!|HHH", "ey friend!HH")]
    [InlineData("""{"type":"Strip","content":"y","start":0,"stop":1}""", "Hey| friend!", "He friend!")]
    [InlineData("""{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}""", "▁▁Hey|<0x21>|▁x", " Hey! x")]
    [InlineData("""{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":" ","start":0,"stop":2}]}""", "a | | b| | ", "a   b")]
    public void Decode_GivesTheText(string decoder, string tokens, string expected)
    {
        var pieces = tokens.Split('|');
        var vocabulary = pieces.Distinct().ToArray();
        var root = new JsonObject { ["model"] = TokenizerFiles.Model(vocabulary, "[]"), ["decoder"] = JsonNode.Parse(decoder) };
        var tokenizer = TokenizerFiles.Load(root);
        int[] ids = [.. pieces.Select(piece => Array.IndexOf(vocabulary, piece))];
        Assert.Equal(expected, tokenizer.Decode(ids));
        var detokenizer = tokenizer.CreateDetokenizer();
        Assert.Equal(expected, string.Concat(ids.Select(detokenizer.Append)) + detokenizer.Flush());
    }

    /// <summary>Without a decoder tokens are joined with spaces.</summary>
    [Fact]
    public void Decode_NoDecoder_JoinsWithSpaces() =>
        Assert.Equal("a b", TokenizerFiles.Load(new JsonObject { ["model"] = TokenizerFiles.Model(["a", "b"], "[]") }).Decode([0, 1]));

    [Theory]
    [InlineData("""{"type":"WordPiece"}""", "WordPiece")]
    [InlineData("""{"type":"CTC"}""", "CTC")]
    [InlineData("""{"type":"Strip","content":"ab","start":1,"stop":0}""", "not one character")]
    [InlineData("""{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"a"},"content":"b"}]}""", "decoders[1]")]
    public void Read_Unsupported_NamesIt(string decoder, string named) =>
        Assert.Contains(named, Assert.Throws<TokenizerException>(() => TokenDecoder.Read(TokenizerFiles.Field("decoder", decoder))).Message);

    [Theory]
    [InlineData("""{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[7,8],"tokens":["<s>"]},"</s>":{"id":"</s>","ids":[9],"tokens":["</s>"]}}}""", "7,8", "9")]
    [InlineData("""{"type":"ByteLevel","trim_offsets":true}""", "", "")]
    [InlineData("""{"type":"RobertaProcessing","sep":["</s>",2],"cls":["<s>",0],"trim_offsets":true,"add_prefix_space":false}""", "0", "2")]
    [InlineData("""{"type":"BertProcessing","sep":["[SEP]",102],"cls":["[CLS]",101]}""", "101", "102")]
    [InlineData("""{"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<b>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<b>":{"id":"<b>","ids":[5],"tokens":["<b>"]}}}]}""", "5", "")]
    public void PostProcessor_SurroundsTheText(string processor, string prefix, string suffix)
    {
        var (before, after) = PostProcessor.Read(TokenizerFiles.Field("post_processor", processor));
        Assert.Equal((prefix, suffix), (string.Join(',', before), string.Join(',', after)));
    }

    [Fact]
    public void PostProcessor_UnknownTypeOrToken_IsNamed()
    {
        Assert.Contains("Other", Assert.Throws<TokenizerException>(() => PostProcessor.Read(TokenizerFiles.Field("post_processor", """{"type":"Other"}"""))).Message);
        const string Missing = """{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}}],"pair":[],"special_tokens":{}}""";
        Assert.Contains("<s>", Assert.Throws<TokenizerException>(() => PostProcessor.Read(TokenizerFiles.Field("post_processor", Missing))).Message);
    }

    /// <summary>A token that is normalized is found in the normalized text, any other in the text as it was.</summary>
    [Theory]
    [InlineData(true, "a<M>b", "a|<M>|b")]
    [InlineData(true, "a<m>b", "a|<M>|b")]
    [InlineData(false, "a<M>b", "a|<M>|b")]
    [InlineData(false, "a<m>b", "a|<|m|>|b")]
    public void AddedToken_Normalized_IsFoundAfterTheNormalizer(bool normalized, string text, string expected)
    {
        var root = new JsonObject
        {
            ["model"] = TokenizerFiles.Model(["a", "b", "m", "<", ">"], "[]"),
            ["normalizer"] = new JsonObject { ["type"] = "Lowercase" },
            ["added_tokens"] = new JsonArray(new JsonObject { ["id"] = 9, ["content"] = "<M>", ["normalized"] = normalized }),
        };
        Assert.Equal(expected, TokenizerFiles.Encode(root, text));
    }

    /// <summary>Of tokens that begin at one place the longest is taken, wherever it stands in the file.</summary>
    [Fact]
    public void AddedTokens_LongestWins()
    {
        var root = new JsonObject
        {
            ["model"] = TokenizerFiles.Model(["a"], "[]"),
            ["added_tokens"] = new JsonArray(
                new JsonObject { ["id"] = 5, ["content"] = "<x", ["special"] = true }, new JsonObject { ["id"] = 6, ["content"] = "<x>", ["special"] = true }),
        };
        Assert.Equal("<x>|a|<x|a", TokenizerFiles.Encode(root, "<x>a<xa"));
    }
}
