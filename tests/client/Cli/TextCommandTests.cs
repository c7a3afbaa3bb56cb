using System.IO.Pipelines;
using System.Text;
using System.Text.Json.Nodes;
using Granary.Client.Cli.CommandLine;
using Granary.Client.Cli.Text;
using Granary.Tests.Support;

namespace Granary.Tests.Client.Cli;

/// <summary>Tokenizing and templating by JSON lines.</summary>
public sealed class TextCommandTests
{
    [SharedDataTheory, InlineData("gpt2"), InlineData("phi-3")]
    public async Task Tokenize_PublishedCases_GivesTheirIdsInOrder(string name)
    {
        var cases = JsonNode.Parse(File.ReadAllText(SharedData.Path("tokenizers", name, "cases.json")))!.AsObject()
            .Select(group => group.Value).OfType<JsonArray>().SelectMany(group => group).Select(item => item!.AsObject()).ToList();
        Assert.True(cases.Count > 10, $"only {cases.Count} cases");
        var input = string.Concat(cases.Select(item => new JsonObject { ["text"] = item["text"]!.DeepClone() }.ToJsonString() + "\n"));

        var run = await CliRun.OfAsync(input, "tokenize", "--no-special", "--tokenizer", SharedData.Path("tokenizers", name));

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Equal(cases.Select(item => item["ids"]!.ToJsonString()), run.Objects.Select(answer => answer["ids"]!.ToJsonString()));
        Assert.Equal(cases.Select(item => (string)item["text"]!), run.Objects.Select(answer => (string)answer["decoded"]!));
    }

    [SharedDataFact]
    public async Task Tokenize_Phi2_GivesBackEveryText()
    {
        string[] texts = ["", "Hello, world!", "   indented\n\n\tcode {  }  ", "naïve café 東京 😀 👩‍👩‍👧 \u0000 end", "<|endoftext|>      x"];
        var input = string.Concat(texts.Select(text => new JsonObject { ["text"] = text }.ToJsonString() + "\n"));
        var run = await CliRun.OfAsync(input, "tokenize", "--tokenizer", SharedData.Path("tokenizers", "phi-2"));
        Assert.Equal(0, run.ExitCode);
        Assert.Equal(texts, run.Objects.Select(answer => (string)answer["decoded"]!));
    }

    [SharedDataFact]
    public async Task Tokenize_SpecialTokens_AreAddedUnlessToldOtherwise()
    {
        const string Input = """{"text":"Hello world"}""";
        var folder = SharedData.Path("tokenizers", "phi-3");
        var with = await CliRun.OfAsync(Input, "tokenize", "--tokenizer", folder);
        var without = await CliRun.OfAsync(Input, "tokenize", "--tokenizer", folder, "--no-special");
        Assert.Equal("[1,15043,3186]", with.Objects.Single()["ids"]!.ToJsonString());
        Assert.Equal("[15043,3186]", without.Objects.Single()["ids"]!.ToJsonString());
    }

    [SharedDataFact]
    public async Task Tokenize_BadLines_AreAnsweredInTheirPlaces()
    {
        var input = Encoding.UTF8.GetBytes("{\"text\":\"a\"}\r\n\n{\"text\":1}\n{\"txt\":\"a\"}\n[]\n{\"text\":\"\\ud800\"}\n{\"text\":\"a\",\"text\":\"b\"}\n{\"text\":\"").Concat((byte[])[0xFF]).Concat("\"}\n{\"text\":\"a\"}"u8.ToArray()).ToArray();
        var run = await CliRun.OfAsync(input, null, "tokenize", "--no-special", "--tokenizer", SharedData.Path("tokenizers", "gpt2"));
        Assert.Equal(1, run.ExitCode);
        Assert.Equal(9, run.Objects.Count);
        Assert.Equal("[64]", run.Objects[0]["ids"]!.ToJsonString());
        Assert.Equal("[64]", run.Objects[8]["ids"]!.ToJsonString());
        Assert.All(run.Objects.Skip(1).SkipLast(1), answer => Assert.Equal(["error"], answer.Select(member => member.Key)));
        Assert.Equal("Field 'text' is a number; it must be a string.", (string?)run.Objects[2]["error"]);
        Assert.Equal("Field 'text' is missing; it must be a string.", (string?)run.Objects[3]["error"]);
        Assert.Equal("The line is not a JSON object.", (string?)run.Objects[4]["error"]);
        Assert.Contains("surrogate", (string?)run.Objects[5]["error"]);
        Assert.Equal("The line is not valid UTF-8.", (string?)run.Objects[7]["error"]);
    }

    [Fact]
    public async Task Tokenize_NoFolder_FailsWithItsName()
    {
        var run = await CliRun.OfAsync("", "tokenize", "--tokenizer", "/nowhere/at/all");
        Assert.Equal((1, "", "--tokenizer is '/nowhere/at/all'; there is no such folder.\n"), (run.ExitCode, run.Output, run.Error.ReplaceLineEndings("\n")));
    }

    [Fact]
    public async Task Tokenize_FolderWithoutTokenizer_Fails()
    {
        using var folder = new TemporaryFolder();
        var run = await CliRun.OfAsync("{}", "tokenize", "--tokenizer", folder.Path);
        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Contains("tokenizer.json", run.Error);
    }

    [SharedDataTheory]
    [InlineData("hf-jinja-e2e.json", "data", "target", 52)]
    [InlineData("ik_llama.cpp-test-jinja.json", "vars", "expected", 262)]
    public async Task Template_CasesThatJinja2AgreesWith_GivesTheSameText(string file, string data, string expected, int least)
    {
        var root = JsonNode.Parse(File.ReadAllText(SharedData.Path("templates", file)))!;
        var now = root["mock_now"] is { } mock ? DateTimeOffset.Parse(mock.GetValue<string>()) : DateTimeOffset.UnixEpoch;
        var cases = root["cases"]!.AsArray().Where(item => item!["jinja2_agrees"]!.GetValue<bool>()).Select(item => item!.AsObject()).ToList();
        Assert.True(cases.Count >= least, $"only {cases.Count} cases");
        var input = string.Concat(cases.Select(item =>
            new JsonObject { ["template"] = item["template"]!.DeepClone(), ["context"] = item[data]!.DeepClone() }.ToJsonString() + "\n"));

        var run = await CliRun.OfAsync(Encoding.UTF8.GetBytes(input), context => context with { Time = new FixedTime(now) }, "template");

        Assert.Equal("", string.Join('\n', cases.Zip(run.Objects)
            .Where(pair => (string?)pair.Second["text"] != (string?)pair.First[expected])
            .Select(pair => $"{pair.First["name"]}: {pair.Second.ToJsonString()} and not {pair.First[expected]!.ToJsonString()}")));
        Assert.Equal((cases.Count, 0), (run.Objects.Count, run.ExitCode));
    }

    [Fact]
    public async Task Template_SeesExactlyTheContext()
    {
        var run = await CliRun.OfAsync("""{"template":"{{ a }}|{{ messages is defined }}|{{ add_generation_prompt is defined }}|{{ n is none }}","context":{"a":"é😀\"","n":null}}""", "template");
        Assert.Equal("é😀\"|False|False|True", (string?)run.Objects.Single()["text"]);
        Assert.Equal(0, run.ExitCode);
    }

    [Theory]
    [InlineData("""{"template":"{% for x in","context":{}}""", "line 1")]
    [InlineData("""{"template":"{{ raise_exception('no such role') }}","context":{}}""", "no such role")]
    [InlineData("""{"template":"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}","context":{}}""", "steps")]
    [InlineData("""{"template":"{{ ''.__class__.__mro__ }}","context":{}}""", "")]
    [InlineData("""{"template":"x"}""", "Field 'context' is missing; it must be an object.")]
    [InlineData("""{"template":"x","context":[]}""", "Field 'context' is an array; it must be an object.")]
    public async Task Template_ThatFails_IsAnErrorAndTheNextGoesOn(string line, string message)
    {
        var run = await CliRun.OfAsync(line + "\n" + """{"template":"{{ 1 + 1 }}","context":{}}""" + "\n", "template");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains(message, (string?)run.Objects[0]["error"]);
        Assert.Equal("2", (string?)run.Objects[1]["text"]);
    }

    [Fact]
    public async Task Answers_ToALineOverTheBound_RefuseItAndGoOn()
    {
        var (ok, objects) = await AnswerAsync($"{{\"text\":\"{new string('a', 100_000)}\"}}\n{{\"text\":\"b\"}}\n{{\"text\":\"{new string('c', 100_000)}\"}}", maxLineBytes: 1000);
        Assert.False(ok);
        Assert.Equal(["The line has more than 1000 bytes.", null, "The line has more than 1000 bytes."], objects.Select(answer => (string?)answer["error"]));
        Assert.Equal("b", (string?)objects[1]["text"]);
    }

    /// <summary>Whoever writes a line can wait for its answer before writing the next.</summary>
    [Fact]
    public async Task Answers_AreFlushedOneByOne()
    {
        var input = new Pipe();
        var output = new Pipe();
        var context = new CliContext
        {
            Input = input.Reader.AsStream(),
            Output = output.Writer.AsStream(),
            Error = TextWriter.Null,
            Time = TimeProvider.System,
        };
        var answering = JsonLines.AnswerAsync(context, (line, json) => json.WriteString("text"u8, JsonLines.Text(line, "text")));
        using var answers = new StreamReader(output.Reader.AsStream());
        foreach (var text in (string[])["one", "two"])
        {
            await input.Writer.WriteAsync(Encoding.UTF8.GetBytes($"{{\"text\":\"{text}\"}}\n"));
            Assert.Equal($"{{\"text\":\"{text}\"}}", await answers.ReadLineAsync());
        }

        await input.Writer.CompleteAsync();
        Assert.True(await answering);
    }

    private static async Task<(bool Good, List<JsonObject> Answers)> AnswerAsync(string input, int maxLineBytes)
    {
        using var output = new MemoryStream();
        var context = new CliContext
        {
            Input = new MemoryStream(Encoding.UTF8.GetBytes(input)),
            Output = output,
            Error = TextWriter.Null,
            Time = TimeProvider.System,
        };
        var good = await JsonLines.AnswerAsync(context, (line, json) => json.WriteString("text"u8, JsonLines.Text(line, "text")), maxLineBytes);
        return (good, [.. Encoding.UTF8.GetString(output.ToArray()).Split('\n')[..^1].Select(line => JsonNode.Parse(line)!.AsObject())]);
    }

    private sealed class FixedTime(DateTimeOffset now) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => now;

        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;
    }
}
