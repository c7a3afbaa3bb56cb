using System.Diagnostics;
using System.Text;
using Granary.Engine.Onnx.Tokenization;
using Granary.Tests.Support;
using Xunit.Abstractions;

namespace Granary.Tests.Unit.Onnx.Tokenization;

public sealed class HostileInputTests(ITestOutputHelper output)
{
    /// <summary>A megabyte of one letter is one word; merging it must stay near linear (a quadratic merger would take hours).</summary>
    [SharedDataTheory, InlineData("tokenizers/gpt2"), InlineData("tokenizers/phi-3"), InlineData("models/stories260K")]
    public void Encode_MegabyteOfOneLetter_Ends(string folder)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path(folder.Split('/')));
        var text = new string('a', 1 << 20);
        var watch = Stopwatch.StartNew();
        var ids = tokenizer.Encode(text);
        output.WriteLine($"{folder}: {watch.ElapsedMilliseconds} ms");
        Assert.Equal(text, tokenizer.Decode(ids));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(30), $"{watch.Elapsed}");
    }

    /// <summary>Measures, and asks only for what no machine misses: the figure is for the log.</summary>
    [SharedDataTheory, InlineData("tokenizers/gpt2"), InlineData("tokenizers/phi-3")]
    public void Encode_English_IsFast(string folder)
    {
        var tokenizer = TextTokenizer.Load(SharedData.Path(folder.Split('/')));
        var random = new Random(1);
        string[] words = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dogs", "while", "engineers", "measure", "throughput", "carefully", "and", "Paris", "is", "in", "France"];
        var text = new StringBuilder();
        while (text.Length < 2_000_000) text.Append(words[random.Next(words.Length)]).Append(random.Next(12) == 0 ? ". " : random.Next(40) == 0 ? $" {random.Next(10000)} " : " ");
        var whole = text.ToString();
        tokenizer.Encode(whole);
        var watch = Stopwatch.StartNew();
        tokenizer.Encode(whole);
        var rate = whole.Length / watch.Elapsed.TotalSeconds / 1e6;
        output.WriteLine($"{folder}: {rate:0.0} MB/s");
        Assert.True(rate > 0.5, $"{rate} MB/s");
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
