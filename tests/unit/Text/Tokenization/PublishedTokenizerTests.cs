using System.Text.Json;
using Granary.Tests.Support;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

/// <summary>Published tokenizers give the ids that others computed with them.</summary>
public sealed class PublishedTokenizerTests
{
    [SharedDataTheory, InlineData("gpt2"), InlineData("phi-3")]
    public void Encode_PublishedCases_GivesTheSameIds(string name)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path("tokenizers", name));
        using var cases = JsonDocument.Parse(File.ReadAllText(SharedData.Path("tokenizers", name, "cases.json")));
        var count = 0;
        foreach (var group in cases.RootElement.EnumerateObject())
        {
            if (group.Value.ValueKind != JsonValueKind.Array) continue;
            foreach (var item in group.Value.EnumerateArray())
            {
                var text = item.GetProperty("text").GetString()!;
                var expected = item.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32()).ToArray();
                Assert.Equal(expected, tokenizer.Encode(text, addSpecialTokens: false));
                Assert.Equal(text, tokenizer.Decode(expected, skipSpecialTokens: false));
                count++;
            }
        }

        Assert.True(count > 10, $"only {count} cases");
    }

    [SharedDataTheory]
    [InlineData("Hello, world!"), InlineData("   indented\n\n\tcode {  }  "), InlineData("naïve café 東京 😀 👩‍👩‍👧 \u0000 end")]
    [InlineData("<|endoftext|>                                             x")]
    public void Phi2_RoundTrips(string text)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path("tokenizers", "phi-2"));
        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text), skipSpecialTokens: false));
    }

    [SharedDataFact]
    public void Stories260K_AddsBosAndStripsTheLeadingSpace()
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path("models", "stories260K"));
        var ids = tokenizer.Encode("Once upon a time, ☃");
        Assert.Equal(1, ids[0]);
        Assert.Equal("Once upon a time, ☃", tokenizer.Decode(ids));
        Assert.Equal(512, tokenizer.VocabularySize);
    }
}
