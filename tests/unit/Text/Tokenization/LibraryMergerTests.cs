using System.Globalization;
using System.Text;
using Granary.Tests.Support;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

/// <summary>Microsoft.ML.Tokenizers and the merger here give the same ids, so it does not matter which one a word meets.</summary>
public sealed class LibraryMergerTests
{
    private const int Words = 20_000;

    [SharedDataTheory, InlineData("gpt2"), InlineData("phi-2")]
    public void RandomWords_PublishedTokenizers_HaveTheSameIds(string name) => AssertSameIds(TextTokenizer.Load(SharedData.Path("tokenizers", name)));

    [Fact]
    public void RandomWords_EmbeddedTokenizer_HaveTheSameIds() => AssertSameIds(TextTokenizer.Load(EmbeddedModel.Folder));

    /// <summary>A vocabulary that lacks a byte, has two tokens of one id, or merges a token with a space in it is ours alone.</summary>
    [Theory, InlineData(false, false), InlineData(true, false), InlineData(false, true)]
    public void TryCreate_VocabularyThatTheLibraryCannotSay_IsRefused(bool twoOfOneId, bool space)
    {
        var vocabulary = Enumerable.Range(0, 256).ToDictionary(value => ByteLevelAlphabet.ToChar((byte)value).ToString(), value => value);
        var merges = new Dictionary<TokenPair, Merge> { [new TokenPair('a', 'b')] = new(0, 256) };
        vocabulary["ab"] = 256;
        Assert.NotNull(LibraryMerger.TryCreate(vocabulary, merges));

        if (twoOfOneId) vocabulary["ba"] = 256;
        else if (space) (vocabulary["a b"], merges[new TokenPair(256, 257)]) = (257, new Merge(1, 256));
        else vocabulary.Remove("z");
        Assert.Null(LibraryMerger.TryCreate(vocabulary, merges));
    }

    [Fact]
    public void LibraryShare_TextOfNewWords_GivesTheBeginningAndAnEighth()
    {
        var share = new LibraryShare();
        var given = 0;
        for (var word = 0; word < 100_000; word++) given += share.TryTake(10) ? 10 : 0;
        Assert.InRange(given, LibraryShare.Beginning + (1_000_000 / LibraryShare.OneIn) - 10, LibraryShare.Beginning + (1_000_000 / LibraryShare.OneIn));
    }

    private static void AssertSameIds(TextTokenizer tokenizer)
    {
        var library = tokenizer.Model.Library;
        Assert.NotNull(library);
        var tokens = Enumerable.Range(0, tokenizer.VocabularySize).Select(id => tokenizer.Decode([id], skipSpecialTokens: false)).Where(token => token.Length is > 0 and < 12).ToArray();
        Span<int> ours = stackalloc int[WordCache.MaxWordLength * 3];
        Span<int> theirs = stackalloc int[WordCache.MaxWordLength * 3];
        for (var seed = 0; seed < Words; seed++)
        {
            var word = RandomWord(new Random(seed), tokens);
            var count = tokenizer.Model.EncodeWord(word, null, ours);
            var libraryCount = tokenizer.Model.EncodeWord(word, library, theirs);
            Assert.True(ours[..count].SequenceEqual(theirs[..libraryCount]), string.Create(CultureInfo.InvariantCulture, $"seed {seed}: '{word}'"));
        }
    }

    /// <summary>Letters, tokens, any characters, or one repeated, up to the longest word that the library gets.</summary>
    private static string RandomWord(Random random, string[] tokens)
    {
        var length = random.Next(1, WordCache.MaxWordLength + 1);
        var kind = random.Next(4);
        var word = new StringBuilder();
        var repeated = tokens[random.Next(tokens.Length)];
        while (word.Length < length)
        {
            _ = kind switch
            {
                0 => word.Append((char)('a' + random.Next(26))),
                1 => word.Append(tokens[random.Next(tokens.Length)]),
                2 => word.Append(new Rune(random.Next(8) == 0 ? 0x1F600 : random.Next(0xD000)).ToString()),
                _ => word.Append(repeated),
            };
        }

        if (char.IsHighSurrogate(word[length - 1])) length--;
        return length == 0 ? "a" : word.ToString(0, length);
    }
}
