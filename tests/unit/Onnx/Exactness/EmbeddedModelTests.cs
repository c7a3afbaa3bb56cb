using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Engine;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;
using Granary.Text.Templates;
using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Onnx.Exactness;

/// <summary>The model that comes with the product answers as its trainer measured, through our tokenizer, template, engine and kernels.</summary>
public sealed class EmbeddedModelTests : IAsyncLifetime, IDisposable
{
    /// <summary>The logits lie between -14 and 27; the trainer computed them in float32 with sums in another order.</summary>
    private const float LogitTolerance = 2e-3f;

    /// <summary>Where the best and the second logit are closer than this, another order of sums may swap them.</summary>
    private const double TinyMargin = 0.01;

    private readonly TemporaryFolder _folder = new();
    private readonly TextTokenizer _tokenizer = TextTokenizer.Load(EmbeddedModel.Folder);
    private readonly ChatTemplate _template = ChatTemplate.Load(EmbeddedModel.Folder)!;
    private ModelDescription _model = null!;
    private InferenceEngine _engine = null!;

    public Task InitializeAsync()
    {
        _model = ModelImporter.Import(EmbeddedModel.Folder, _folder["model"], new ImportOptions());
        _engine = InferenceEngine.Start(new(), OnnxStepExecutor.Open(_folder["model"], new() { IntraOpThreads = 1 }));
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _engine.DisposeAsync();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task HeldOutQuestions_AreAnsweredRight_AtLeast95PercentOfEachKind()
    {
        var questions = File.ReadLines(EmbeddedModel.TrainingFile("held-out.jsonl")).Select(line => JsonNode.Parse(line)!).ToArray();

        var answers = await Task.WhenAll(questions.Select(question => AnswerAsync(question["messages"]!.AsArray())));

        var kinds = questions.Zip(answers, (question, answer) => (Kind: (string)question["kind"]!, Right: answer == (string)question["answer"]!)).GroupBy(x => x.Kind).ToArray();
        Assert.True(kinds.Length >= 9, $"only {kinds.Length} kinds of questions");
        Assert.All(kinds, kind => Assert.True(
            kind.Count(x => x.Right) >= 0.95 * kind.Count(), $"{kind.Key}: {kind.Count(x => x.Right)} of {kind.Count()} right"));
    }

    [Fact]
    public void Template_WritesChatMl()
    {
        JsonArray messages = [Message("system", "Be brief."), Message("user", "Hi!")];

        Assert.Equal(
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n",
            _template.Render(messages, new() { AddGenerationPrompt = true }));
    }

    [Theory]
    [InlineData("What is the capital of France?")]
    [InlineData("The code for the red box is 4821.\n\n  Tabs\tand  spaces ")]
    [InlineData("naïve café 東京 🎉 – “quotes”")]
    public void Tokenizer_DecodesWhatItEncodes(string text) => Assert.Equal(text, _tokenizer.Decode(_tokenizer.Encode(text)));

    [Fact]
    public void Logits_EqualTheTrainers()
    {
        using var executor = OnnxStepExecutor.Open(_folder["model"], new() { IntraOpThreads = 1, KvBlockCount = 64 });
        foreach (var conversation in Reference())
        {
            var prompt = PromptOf(conversation["messages"]!.AsArray());
            Assert.Equal(Ids(conversation["prompt_token_ids"]!), prompt);

            var logits = new SequenceRunner(executor).Append(prompt);

            var expected = conversation["last_position_logits"]!.AsArray().Select(value => (float)value!).ToArray();
            for (var i = 0; i < expected.Length; i++) Assert.InRange(logits[i], expected[i] - LogitTolerance, expected[i] + LogitTolerance);
        }
    }

    [Fact]
    public async Task GreedyAnswers_EqualTheTrainers()
    {
        foreach (var conversation in Reference())
        {
            var expected = Ids(conversation["token_ids"]!);
            var margins = conversation["margins"]!.AsArray().Select(value => (double)value!).ToArray();
            var certain = Array.FindIndex(margins, margin => margin < TinyMargin) is >= 0 and var first ? first : expected.Length;
            Assert.True(certain >= 5, "the reference is certain of some tokens");

            var generated = await GenerateAsync(Ids(conversation["prompt_token_ids"]!), expected.Length);

            Assert.Equal(expected[..certain], generated[..certain]);
        }
    }

    private static IEnumerable<JsonNode> Reference() =>
        JsonNode.Parse(File.ReadAllText(EmbeddedModel.TrainingFile("reference.json")))!.AsArray().Select(node => node!);

    private static int[] Ids(JsonNode node) => node.Deserialize<int[]>()!;

    private static JsonObject Message(string role, string content) => new() { ["role"] = role, ["content"] = content };

    private int[] PromptOf(JsonArray messages) => _tokenizer.Encode(_template.Render(messages, new() { AddGenerationPrompt = true }));

    private async Task<string> AnswerAsync(JsonArray messages) => _tokenizer.Decode(await GenerateAsync(PromptOf(messages), maxTokens: 64));

    private async Task<int[]> GenerateAsync(int[] prompt, int maxTokens)
    {
        await using var handle = _engine.Submit(new EngineRequest
        {
            RequestId = "r",
            PromptTokenIds = prompt,
            Sampling = new() { MaxTokens = maxTokens, Temperature = 0, StopTokenIds = _model.EosTokenIds.ToHashSet() },
        });
        return EngineHarness.Ids(await handle.ReadAll());
    }
}
