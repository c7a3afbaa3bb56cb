using System.Text.Json.Nodes;

namespace Granary.Tests.Unit.Text.Tokenization;

/// <summary>Each step of a tokenizer file alone, against what the Hugging Face tokenizers document or do.</summary>
public sealed class PipelineStepTests
{
    [Theory]
    [InlineData("always", "Hey my friend", "▁Hey|▁my|▁friend")]
    [InlineData("always", " Hey", "▁Hey")]
    [InlineData("always", "Hey   you", "▁Hey|▁|▁|▁you")]
    [InlineData("first", "Hey my", "▁Hey|▁my")]
    [InlineData("never", "Hey my", "Hey|▁my")]
    public void Metaspace_MarksSpacesAndCutsBeforeEach(string scheme, string text, string expected) =>
        TokenizerFiles.AssertPieces($$$"""{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{{scheme}}}"}}""", text, expected);

    [Theory, InlineData("first", "▁a|<x>|b"), InlineData("always", "▁a|<x>|▁b"), InlineData("never", "a|<x>|b")]
    public void Metaspace_AfterAnAddedToken_MarksAsTheSchemeSays(string scheme, string expected) =>
        TokenizerFiles.AssertPieces(
            $$$"""{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{{scheme}}}"},"added_tokens":[{"id":900,"content":"<x>","special":true}]}""",
            "a<x>b", expected);

    [Fact]
    public void Metaspace_WithoutSplit_KeepsTheTextWhole() =>
        TokenizerFiles.AssertPieces("""{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}}""", "Hey you", "▁Hey▁you");

    [Theory]
    [InlineData(true, "Hey 123 friend!", "Hey |1|2|3| friend!")]
    [InlineData(false, "Hey 123 friend!", "Hey |123| friend!")]
    [InlineData(false, "²5", "²5")]
    public void Digits_AreCutOut(bool individual, string text, string expected) =>
        TokenizerFiles.AssertPieces($$$"""{"pre_tokenizer":{"type":"Digits","individual_digits":{{{(individual ? "true" : "false")}}}}}""", text, expected);

    [Theory]
    [InlineData("Isolated", "Hey friend!  How are you?!?", "Hey friend|!|  How are you|?|!|?")]
    [InlineData("Contiguous", "you?!?so", "you|?!?|so")]
    [InlineData("Removed", "a,b", "a|b")]
    [InlineData("MergedWithPrevious", "a,b!!c", "a,|b!|!|c")]
    [InlineData("MergedWithNext", "a,b!!c", "a|,b|!|!c")]
    [InlineData("Isolated", "a$b`c", "a|$|b|`|c")] // All of ASCII's signs count, not only what Unicode calls punctuation.
    [InlineData("Isolated", "a「b", "a|「|b")]
    public void Punctuation_FollowsItsBehavior(string behavior, string text, string expected) =>
        TokenizerFiles.AssertPieces($$$"""{"pre_tokenizer":{"type":"Punctuation","behavior":"{{{behavior}}}"}}""", text, expected);

    [Theory]
    [InlineData(true, true, "ab")]
    [InlineData(true, false, "ab \n")]
    [InlineData(false, true, " \tab")]
    [InlineData(false, false, " \tab \n")]
    public void Strip_TakesWhiteSpaceOffTheEnds(bool left, bool right, string expected) =>
        TokenizerFiles.AssertPieces($$$"""{"normalizer":{"type":"Strip","strip_left":{{{(left ? "true" : "false")}}},"strip_right":{{{(right ? "true" : "false")}}}}}""", " \tab \n", expected);

    [Theory]
    [InlineData("", "a <m> b", "a |<m>| b")]
    [InlineData(""" "lstrip":true, """, "a  <m> b", "a|<m>| b")]
    [InlineData(""" "rstrip":true, """, "a <m>  b", "a |<m>|b")]
    [InlineData(""" "lstrip":true,"rstrip":true, """, "a <m>\n <m> b", "a|<m>|<m>|b")]
    [InlineData(""" "single_word":true, """, "a<m> <m>b <m>", "a<m> <m>b |<m>")]
    [InlineData(""" "single_word":true, """, "_<m> (<m>)", "_<m> (|<m>|)")]
    public void AddedToken_TakesTextAsItsFlagsSay(string flags, string text, string expected) =>
        TokenizerFiles.AssertPieces($$$"""{"added_tokens":[{"id":900,"content":"<m>",{{{flags}}}"special":true}]}""", text, expected);

    /// <summary>"abc" is a token that no merge makes.</summary>
    [Theory, InlineData(true, "abc"), InlineData(false, "a|bc")]
    public void IgnoreMerges_TakesAWholeWordThatIsAToken(bool ignore, string expected)
    {
        var model = TokenizerFiles.Model(["a", "b", "c", "bc", "abc"], """["b c"]""");
        model["ignore_merges"] = ignore;
        Assert.Equal(expected, TokenizerFiles.Encode(new JsonObject { ["model"] = model }, "abc"));
    }

    /// <summary>Pairs may be listed as one string or as two; only two can hold a space.</summary>
    [Theory]
    [InlineData("""["a b","ab c"]""", "abc", "abc")]
    [InlineData("""[["a","b"],["ab","c"]]""", "abc", "abc")]
    [InlineData("""[["b","c"],["a","b"]]""", "abc", "a|bc")]
    [InlineData("""[[" "," "]]""", "  a", "  |a")]
    public void Merges_InEitherForm_GiveTheSameTokens(string merges, string text, string expected) =>
        Assert.Equal(expected, TokenizerFiles.Encode(new JsonObject { ["model"] = TokenizerFiles.Model(["a", "b", "c", " ", "ab", "bc", "abc", "  "], merges) }, text));

    /// <summary>A pair listed twice has its later place, and its neighbours keep theirs.</summary>
    [Fact]
    public void Merges_PairListedTwice_CountsAtItsLaterPlace() =>
        Assert.Equal("a|bc", TokenizerFiles.Encode(new JsonObject { ["model"] = TokenizerFiles.Model(["a", "b", "c", "ab", "bc"], """["a b","b c","a b"]""") }, "abc"));
}
