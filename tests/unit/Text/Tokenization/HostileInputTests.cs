using Granary.Tests.Support;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

public sealed class HostileInputTests
{
    /// <summary>A megabyte of one letter is one word; merging it must stay near linear (a quadratic merger would take hours).</summary>
    [SharedDataTheory, InlineData("tokenizers/gpt2"), InlineData("tokenizers/phi-3"), InlineData("models/stories260K")]
    public void Encode_MegabyteOfOneLetter_Ends(string folder)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path(folder.Split('/')));
        var text = new string('a', 1 << 20);
        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
    }

    /// <summary>A megabyte of whatever repeats comes back whole; each pattern takes a path of its own through the pipeline.</summary>
    [SharedDataTheory]
    [InlineData("ab"), InlineData(" "), InlineData("\n"), InlineData(" \n"), InlineData("7"), InlineData("1234567890"), InlineData("'"), InlineData("!?")]
    [InlineData("\u0301"), InlineData("\ud83d\udc69\u200d"), InlineData("\u2581"), InlineData("<|endoftext|>"), InlineData("<|endoftext")]
    public void Encode_MegabyteOfOnePattern_ComesBack(string unit)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path("tokenizers", "gpt2"));
        var text = string.Concat(Enumerable.Repeat(unit, (1 << 20) / unit.Length));
        Assert.True(text == tokenizer.Decode(tokenizer.Encode(text), skipSpecialTokens: false));
    }

    /// <summary>Merging one word takes memory by its length, so a word has a bound; a text of many words may be longer.</summary>
    [SharedDataFact]
    public void Encode_WordBeyondTheBound_NamesIt()
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path("tokenizers", "gpt2"));
        var exception = Assert.Throws<TokenizerException>(() => tokenizer.Encode(new string('a', BpeModel.MaxWordLength + 1)));
        Assert.Contains($"{BpeModel.MaxWordLength}", exception.Message);
        Assert.Equal([64], tokenizer.Encode("a")); // The failure left nothing behind.
        Assert.NotEmpty(tokenizer.Encode(string.Concat(Enumerable.Repeat("hello ", (BpeModel.MaxWordLength / 6) + 1))));
    }

    [Theory]
    [InlineData("{", "tokenizer.json")]
    [InlineData("""{"model":{"type":"WordPiece"}}""", "model")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}""", "model.vocab['a']")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}""", "model.merges[0]")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"normalizer":{"type":"Precompiled"}}""", "normalizer")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}}""", "pre_tokenizer.pattern")]
    public void Load_BadFile_NamesFileAndField(string json, string field)
    {
        var directory = Directory.CreateTempSubdirectory("tokenizer");
        try
        {
            File.WriteAllText(Path.Combine(directory.FullName, "tokenizer.json"), json);
            var exception = Assert.Throws<TokenizerException>(() => TextTokenizer.Load(directory.FullName));
            Assert.Contains("tokenizer.json", exception.Message);
            Assert.Contains(field, exception.Message);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }
}
