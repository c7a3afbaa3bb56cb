using Granary.Tests.Support;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

public sealed class DetokenizerTests
{
    public static TheoryData<string, bool> Cases => new()
    {
        { "tokenizers/gpt2", true }, { "tokenizers/gpt2", false }, { "tokenizers/phi-2", true }, { "tokenizers/phi-2", false },
        { "tokenizers/phi-3", true }, { "tokenizers/phi-3", false }, { "models/stories260K", true }, { "models/stories260K", false },
    };

    /// <summary>For any ids, broken characters included, the deltas join to the whole text and none ends inside a character.</summary>
    [SharedDataTheory, MemberData(nameof(Cases))]
    public void AnyIds_DeltasJoinToTheWhole(string folder, bool skip) => AssertDeltasJoin(TextTokenizer.Load(SharedData.Path(folder.Split('/'))), skip);

    [Theory, InlineData(true), InlineData(false)]
    public void AnyIds_EmbeddedModel_DeltasJoinToTheWhole(bool skip) => AssertDeltasJoin(TextTokenizer.Load(EmbeddedModel.Folder), skip);

    private static void AssertDeltasJoin(TextTokenizer tokenizer, bool skip)
    {
        int[] added = [.. Enumerable.Range(0, tokenizer.VocabularySize).Where(id => tokenizer.Decode([id]) != tokenizer.Decode([id], skipSpecialTokens: false)), 0];
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            // Low ids are the single bytes and special tokens in these vocabularies, so half are drawn from there.
            var ids = Enumerable.Range(0, random.Next(0, 40))
                .Select(_ => random.Next(8) == 0 ? added[random.Next(added.Length)] : random.Next(random.Next(2) == 0 ? 262 : tokenizer.VocabularySize + 3)).ToArray();
            var detokenizer = tokenizer.CreateDetokenizer(skip);
            var joined = "";
            for (var index = 0; index < ids.Length;)
            {
                // Ids come one by one or several at a time; a delta is what one arrival adds.
                var delta = "";
                for (var arrival = random.Next(1, 4); arrival > 0 && index < ids.Length; arrival--) delta += detokenizer.Append(ids[index++]);
                Assert.False(delta.Length > 0 && (char.IsHighSurrogate(delta[^1]) || char.IsLowSurrogate(delta[0])), $"seed {seed}");
                joined += delta;
            }

            Assert.True(tokenizer.Decode(ids, skip) == joined + detokenizer.Flush(), $"seed {seed}: {string.Join(',', ids)}");
        }
    }

    [SharedDataTheory, InlineData("tokenizers/gpt2"), InlineData("tokenizers/phi-3"), InlineData("models/stories260K")]
    public void AnyText_RoundTripsTokenByToken(string folder)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path(folder.Split('/')));
        string[] parts = ["hello", " ", "  ", "\n", "é", "東", "😀", "123", "'s", ".", "\t", "ß", "👩‍👩‍👧"];
        for (var seed = 0; seed < 100; seed++)
        {
            var random = new Random(seed);
            var text = string.Concat(Enumerable.Range(0, random.Next(1, 20)).Select(_ => parts[random.Next(parts.Length)]));
            var detokenizer = tokenizer.CreateDetokenizer();
            var joined = string.Concat(tokenizer.Encode(text).Select(detokenizer.Append)) + detokenizer.Flush();
            Assert.Equal(text, joined);
        }
    }
}
