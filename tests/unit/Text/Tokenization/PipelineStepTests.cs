using System.Text.Json.Nodes;
using Granary.Tests.Support;
using Granary.Text.Tokenization;

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
        AssertPieces($$$"""{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{{scheme}}}"}}""", text, expected);

    [Theory, InlineData("first", "▁a|<x>|b"), InlineData("always", "▁a|<x>|▁b"), InlineData("never", "a|<x>|b")]
    public void Metaspace_AfterAnAddedToken_MarksAsTheSchemeSays(string scheme, string expected) =>
        AssertPieces(
            $$$"""{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{{scheme}}}"},"added_tokens":[{"id":900,"content":"<x>","special":true}]}""",
            "a<x>b", expected);

    [Fact]
    public void Metaspace_WithoutSplit_KeepsTheTextWhole() =>
        AssertPieces("""{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}}""", "Hey you", "▁Hey▁you");

    [Theory]
    [InlineData(true, "Hey 123 friend!", "Hey |1|2|3| friend!")]
    [InlineData(false, "Hey 123 friend!", "Hey |123| friend!")]
    [InlineData(false, "²5", "²5")]
    public void Digits_AreCutOut(bool individual, string text, string expected) =>
        AssertPieces($$$"""{"pre_tokenizer":{"type":"Digits","individual_digits":{{{(individual ? "true" : "false")}}}}}""", text, expected);

    [Theory]
    [InlineData("Isolated", "Hey friend!  How are you?!?", "Hey friend|!|  How are you|?|!|?")]
    [InlineData("Contiguous", "you?!?so", "you|?!?|so")]
    [InlineData("Removed", "a,b", "a|b")]
    [InlineData("MergedWithPrevious", "a,b!!c", "a,|b!|!|c")]
    [InlineData("MergedWithNext", "a,b!!c", "a|,b|!|!c")]
    [InlineData("Isolated", "a$b`c", "a|$|b|`|c")] // All of ASCII's signs count, not only what Unicode calls punctuation.
    [InlineData("Isolated", "a「b", "a|「|b")]
    public void Punctuation_FollowsItsBehavior(string behavior, string text, string expected) =>
        AssertPieces($$$"""{"pre_tokenizer":{"type":"Punctuation","behavior":"{{{behavior}}}"}}""", text, expected);

    [Theory]
    [InlineData(true, true, "ab")]
    [InlineData(true, false, "ab \n")]
    [InlineData(false, true, " \tab")]
    [InlineData(false, false, " \tab \n")]
    public void Strip_TakesWhiteSpaceOffTheEnds(bool left, bool right, string expected) =>
        AssertPieces($$$"""{"normalizer":{"type":"Strip","strip_left":{{{(left ? "true" : "false")}}},"strip_right":{{{(right ? "true" : "false")}}}}}""", " \tab \n", expected);

    [Theory]
    [InlineData("", "a <m> b", "a |<m>| b")]
    [InlineData(""" "lstrip":true, """, "a  <m> b", "a|<m>| b")]
    [InlineData(""" "rstrip":true, """, "a <m>  b", "a |<m>|b")]
    [InlineData(""" "lstrip":true,"rstrip":true, """, "a <m>\n <m> b", "a|<m>|<m>|b")]
    [InlineData(""" "single_word":true, """, "a<m> <m>b <m>", "a<m> <m>b |<m>")]
    [InlineData(""" "single_word":true, """, "_<m> (<m>)", "_<m> (|<m>|)")]
    public void AddedToken_TakesTextAsItsFlagsSay(string flags, string text, string expected) =>
        AssertPieces($$$"""{"added_tokens":[{"id":900,"content":"<m>",{{{flags}}}"special":true}]}""", text, expected);

    /// <summary>"abc" is a token that no merge makes.</summary>
    [Theory, InlineData(true, "abc"), InlineData(false, "a|bc")]
    public void IgnoreMerges_TakesAWholeWordThatIsAToken(bool ignore, string expected)
    {
        var model = Model(["a", "b", "c", "bc", "abc"], """["b c"]""");
        model["ignore_merges"] = ignore;
        Assert.Equal(expected, Encode(new JsonObject { ["model"] = model }, "abc"));
    }

    /// <summary>Pairs may be listed as one string or as two; only two can hold a space.</summary>
    [Theory]
    [InlineData("""["a b","ab c"]""", "abc", "abc")]
    [InlineData("""[["a","b"],["ab","c"]]""", "abc", "abc")]
    [InlineData("""[["b","c"],["a","b"]]""", "abc", "a|bc")]
    [InlineData("""[[" "," "]]""", "  a", "  |a")]
    public void Merges_InEitherForm_GiveTheSameTokens(string merges, string text, string expected) =>
        Assert.Equal(expected, Encode(new JsonObject { ["model"] = Model(["a", "b", "c", " ", "ab", "bc", "abc", "  "], merges) }, text));

    /// <summary>A pair listed twice has its later place, and its neighbours keep theirs.</summary>
    [Fact]
    public void Merges_PairListedTwice_CountsAtItsLaterPlace() =>
        Assert.Equal("a|bc", Encode(new JsonObject { ["model"] = Model(["a", "b", "c", "ab", "bc"], """["a b","b c","a b"]""") }, "abc"));

    /// <summary>Gives the model every expected piece as a whole token, so that ids show exactly where the text was cut.</summary>
    private static void AssertPieces(string settings, string text, string expected)
    {
        var root = JsonNode.Parse(settings)!.AsObject();
        var added = root["added_tokens"]?.AsArray().Select(token => (string)token!["content"]!).ToHashSet() ?? [];
        var pieces = expected.Split('|').Where(piece => !added.Contains(piece));
        var characters = $"{text}▁".Select(character => character.ToString());
        var model = Model([.. characters.Concat(pieces).Distinct()], "[]");
        model["ignore_merges"] = true;
        root["model"] = model;
        Assert.Equal(expected, Encode(root, text));
    }

    private static JsonObject Model(string[] tokens, string merges) => new()
    {
        ["type"] = "BPE",
        ["vocab"] = new JsonObject(tokens.Select((token, id) => KeyValuePair.Create(token, (JsonNode?)JsonValue.Create(id)))),
        ["merges"] = JsonNode.Parse(merges),
    };

    private static string Encode(JsonObject root, string text)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["tokenizer.json"], root.ToJsonString());
        var tokens = root["model"]!["vocab"]!.AsObject().ToDictionary(entry => (int)entry.Value!, entry => entry.Key);
        foreach (var added in root["added_tokens"]?.AsArray() ?? []) tokens[(int)added!["id"]!] = (string)added["content"]!;
        return string.Join('|', TextTokenizer.Load(folder.Path).Encode(text).Select(id => tokens[id]));
    }
}
