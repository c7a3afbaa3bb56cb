using System.Text;
using System.Text.Json.Nodes;
using Granary.Tests.Support;
using Granary.Text.Templates;
using Granary.Text.Tokenization;

namespace Granary.Tests.Client.Grains;

/// <summary>Text files that came over the wire are read as those of a folder are.</summary>
public sealed class TextFilesTests
{
    private const string Sample = "Hello there, où est la gare? 😀\n\n 123";

    [Theory]
    [InlineData(false)]
    [InlineData(true)] // Some editors put a byte order mark there.
    public void EmbeddedModel_IsReadAlike(bool mark)
    {
        var files = new[] { "tokenizer.json", "tokenizer_config.json" }.ToDictionary(
            name => name, name => (byte[])[.. mark ? Encoding.UTF8.Preamble : [], .. File.ReadAllBytes(Path.Combine(EmbeddedModel.Folder, name))]);
        var messages = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = Sample });
        var options = new ChatTemplateOptions { AddGenerationPrompt = true };

        Assert.Equal(TextTokenizer.Load(EmbeddedModel.Folder).Encode(Sample), TextTokenizer.Load(files).Encode(Sample));
        Assert.Equal(ChatTemplate.Load(EmbeddedModel.Folder)!.Render(messages, options), ChatTemplate.Load(files)!.Render(messages, options));
    }

    [Fact]
    public void VocabularyAndMerges_AndATemplateFile_AreReadAlike()
    {
        using var folder = new TemporaryFolder();
        var vocabulary = new JsonObject(Enumerable.Range(0, 256).Select(i => KeyValuePair.Create(((char)(0x100 + i)).ToString(), (JsonNode?)i)));
        foreach (var (i, token) in new[] { "H", "e", "l", "o", "He", "ll", "Hell", "Hello" }.Index()) vocabulary[token] = 256 + i;
        var files = new Dictionary<string, byte[]>
        {
            ["vocab.json"] = Encoding.UTF8.GetBytes(vocabulary.ToJsonString()),
            ["merges.txt"] = "#version: 0.2\r\nH e\r\nl l\r\nHe ll\r\nHell o\r\n"u8.ToArray(),
            ["chat_template.jinja"] = "{{ messages[0].content }}!"u8.ToArray(),
        };
        foreach (var (name, content) in files) File.WriteAllBytes(Path.Combine(folder.Path, name), content);

        Assert.Equal([263], TextTokenizer.Load(files).Encode("Hello"));
        Assert.Equal(TextTokenizer.Load(folder.Path).Encode("Hello"), TextTokenizer.Load(files).Encode("Hello"));
        Assert.Equal("Hi!", ChatTemplate.Load(files)!.Render([new JsonObject { ["content"] = "Hi" }], new()));
    }

    [Fact]
    public void WithoutFiles_ItTellsWhatIsMissing()
    {
        var none = new Dictionary<string, byte[]>();
        Assert.Contains("tokenizer.json", Assert.Throws<TokenizerException>(() => TextTokenizer.Load(none)).Message, StringComparison.Ordinal);
        Assert.Null(ChatTemplate.Load(none));
    }
}
