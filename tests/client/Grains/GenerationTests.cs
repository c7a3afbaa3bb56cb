using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Tests.Client.Support;
using Granary.Tests.Support;
using Granary.Text.Tokenization;

namespace Granary.Tests.Client.Grains;

/// <summary>Chats and completions over grains: text, choices, limits and ends.</summary>
public sealed class GenerationTests(SimulatedCluster cluster) : IClassFixture<SimulatedCluster>
{
    private static readonly TextTokenizer Tokenizer = TextTokenizer.Load(EmbeddedModel.Folder);

    [Fact]
    public async Task Chat_IsTheTextOfTheReplicasTokens()
    {
        var model = await cluster.DeployAsync();
        var prompt = Prompt("Hello");
        var sampling = new SamplingOptions { MaxTokens = 40, Seed = 77 };
        var tokens = await TokensAsync(model, prompt, sampling, choice: 0);

        var updates = await cluster.Client().ChatAsync(Updates.Ask("Hello", new() { MaxTokens = 40, Seed = 77 }, model)).ReadAsync();

        Assert.Equal(Tokenizer.Decode(tokens), updates.Text());
        Assert.Equal("length", Assert.Single(updates, update => update.FinishReason is not null).FinishReason);
        Assert.Equal((prompt.Length, 40), (updates[^1].Usage!.PromptTokens, updates[^1].Usage!.CompletionTokens));
        Assert.Single(updates.Select(update => (update.ResponseId, update.Model, update.Created)).Distinct());
        Assert.StartsWith("chatcmpl-", updates[0].ResponseId, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Choices_ComeInterleaved_EachAsItIsAlone()
    {
        var model = await cluster.DeployAsync();
        var sampling = new SamplingOptions { MaxTokens = 30, Seed = 3 };
        var alone = new List<string>();
        for (var choice = 0; choice < 4; choice++) alone.Add(Tokenizer.Decode(await TokensAsync(model, [1, 2, 3], sampling, choice)));

        var updates = await cluster.Client().CompleteAsync(
            new() { Model = model, PromptTokenIds = [1, 2, 3], Settings = new() { Choices = 4, MaxTokens = 30, Seed = 3 } }).ReadAsync();

        Assert.Equal(alone, Enumerable.Range(0, 4).Select(choice => updates.Text(choice)));
        Assert.Equal(4, alone.Distinct().Count());
        Assert.Equal([0, 1, 2, 3], updates.Where(update => update.FinishReason is not null).Select(update => update.Choice).Order());
        Assert.All(Enumerable.Range(0, 4), choice => Assert.NotNull(updates.Last(update => update.Choice == choice && update.Usage is null).FinishReason));
        Assert.Equal(new GenerationUsage(3, updates[^1].Usage!.CachedPromptTokens, 120), updates[^1].Usage);
        Assert.Equal(0, await cluster.BookingsAsync(model));
    }

    [Fact]
    public async Task StopString_EndsTheChoiceAndIsNotPartOfIt()
    {
        var model = await cluster.DeployAsync();
        var request = new CompletionRequest { Model = model, Prompt = "Once", Settings = new() { MaxTokens = 60, Seed = 9 } };
        var whole = (await cluster.Client().CompleteAsync(request).ReadAsync()).Text();
        var stop = whole.Substring(whole.Length / 2, 3);

        var updates = await cluster.Client().CompleteAsync(request with { Settings = request.Settings with { Stops = ["never to be seen", stop] } }).ReadAsync();

        Assert.Equal(whole[..whole.IndexOf(stop, StringComparison.Ordinal)], updates.Text());
        Assert.Equal("stop", Assert.Single(updates, update => update.FinishReason is not null).FinishReason);
        Assert.True(updates[^1].Usage!.CompletionTokens < 60);
        Assert.Equal(0, await cluster.BookingsAsync(model));
    }

    [Fact]
    public async Task Logprobs_AreOfEveryToken_LikeliestFirst()
    {
        var model = await cluster.DeployAsync();

        var updates = await cluster.Client().ChatAsync(Updates.Ask(settings: new() { MaxTokens = 8, Seed = 1, TopLogprobs = 3 }, model: model)).ReadAsync();

        var logprobs = updates.SelectMany(update => update.Logprobs).ToList();
        Assert.Equal(8, logprobs.Count);
        Assert.All(logprobs, logprob =>
        {
            Assert.Equal(3, logprob.Top.Count);
            Assert.Equal(logprob.Top.OrderByDescending(top => top.Logprob), logprob.Top);
            Assert.True(logprob.Logprob <= logprob.Top[0].Logprob);
        });
    }

    [Fact]
    public async Task SeedThatIsDrawn_DiffersFromRequestToRequest()
    {
        var model = await cluster.DeployAsync();
        var client = cluster.Client();
        var request = new CompletionRequest { Model = model, PromptTokenIds = [4], Settings = new() { MaxTokens = 32 } };

        Assert.NotEqual((await client.CompleteAsync(request).ReadAsync()).Text(), (await client.CompleteAsync(request).ReadAsync()).Text());
    }

    [Fact]
    public async Task WithoutMaxTokens_AChatFillsTheContext_AndACompletionHasOpenAIsLength()
    {
        var model = await cluster.DeployAsync();

        var chat = await cluster.Client().ChatAsync(Updates.Ask(model: model)).ReadAsync();
        var completion = await cluster.Client().CompleteAsync(new() { Model = model, Prompt = "Once" }).ReadAsync();

        Assert.Equal(SimulatedCluster.ContextLength, chat[^1].Usage!.PromptTokens + chat[^1].Usage!.CompletionTokens);
        Assert.Equal(16, completion[^1].Usage!.CompletionTokens);
    }

    [Fact]
    public async Task Leaving_EndsAllChoices()
    {
        var model = await cluster.DeployAsync();

        await foreach (var _ in cluster.Client().CompleteAsync(new() { Model = model, Prompt = "Once", Settings = new() { Choices = 3, MaxTokens = 900 } })) break;

        Assert.Equal(0, await cluster.BookingsAsync(model));
    }

    [Fact]
    public async Task Cancelling_EndsTheEnumeration()
    {
        var model = await cluster.DeployAsync();
        var executor = await cluster.Models.ExecutorOf($"{model}/0");
        executor.Hold();
        var reached = executor.StepReached(2); // The first was the probe of the load.
        using var cancel = new CancellationTokenSource();

        var reading = Assert.ThrowsAnyAsync<OperationCanceledException>(() => cluster.Client().ChatAsync(Updates.Ask(model: model), cancel.Token).ReadAsync());
        await reached.WaitAsync(Updates.Patience);
        await cancel.CancelAsync();
        executor.Release(); // What is left gives its blocks back at the end of the step in progress, and is waited for.

        await reading.WaitAsync(Updates.Patience);
        Assert.Equal(0, await cluster.BookingsAsync(model));
    }

    /// <summary>The device never answers: whatever the clock does, only the deadline can end this.</summary>
    [Fact]
    public async Task Deadline_IsATimeout()
    {
        var model = await cluster.DeployAsync();
        var executor = await cluster.Models.ExecutorOf($"{model}/0");
        executor.Hold();

        var (updates, error) = await cluster.Client().ChatAsync(Updates.Ask(settings: new() { Timeout = TimeSpan.FromMilliseconds(50) }, model: model))
            .ReadToErrorAsync<TimeoutException>();

        executor.Release();
        Assert.Empty(updates);
        Assert.Contains("0.05 s", error.Message, StringComparison.Ordinal);
    }

    /// <summary>What a sampler remembers survives: draws, penalties, log-probabilities, and a stop string of which the reader has seen a half.</summary>
    [Theory]
    [InlineData(1, false)]
    [InlineData(3, false)]
    [InlineData(1, true)]
    public async Task ReplicaFailsOnTheWay_AnswerIsThatOfAnUnbrokenRun(int choices, bool stops)
    {
        const int Cut = 20;
        var model = await cluster.DeployAsync(replicas: 2);
        var settings = new GenerationSettings
        {
            Choices = choices,
            MaxTokens = 60,
            MinTokens = 5,
            Seed = 11,
            TopLogprobs = 2,
            RepetitionPenalty = 1.2f,
            FrequencyPenalty = 0.5f,
            PresencePenalty = 0.3f,
        };
        var request = new CompletionRequest { Model = model, PromptTokenIds = [1, 2, 3], Settings = settings };
        var whole = await cluster.Client().CompleteAsync(request).ReadAsync();
        if (stops)
        {
            var cut = whole.Where(update => update.Logprobs.Count > 0).Take(Cut).Sum(update => update.Text.Length);
            request = request with { Settings = settings with { Stops = [whole.Text().Substring(cut - 2, 8)] } };
            whole = await cluster.Client().CompleteAsync(request).ReadAsync();
        }

        var failures = 0;
        for (var replica = 0; replica < 2; replica++)
        {
            (await cluster.Models.ExecutorOf($"{model}/{replica}")).BeforeStep = plan =>
            {
                if (plan.PastLengths[0] >= Cut && Interlocked.CompareExchange(ref failures, 1, 0) == 0) throw new InvalidOperationException("The device is gone.");
            };
        }

        var broken = await cluster.Client().CompleteAsync(request).ReadAsync().WaitAsync(Updates.Patience);

        Assert.Equal(1, failures);
        for (var choice = 0; choice < choices; choice++) Assert.Equal(Say(whole, choice), Say(broken, choice));
        Assert.Equal(whole[^1].Usage, broken[^1].Usage);
        Assert.Equal(0, await cluster.BookingsAsync(model));

        static string[] Say(List<GenerationUpdate> updates, int choice) =>
        [
            .. from update in updates
               where update.Choice == choice && update.Usage is null
               select $"{update.Text} {update.FinishReason} {string.Join(' ', update.Logprobs.Select(logprob => $"{logprob.Token} {logprob.Logprob:R} {string.Join(' ', logprob.Top)}"))}",
        ];
    }

    private static int[] Prompt(string text) => new TextModel
    {
        Card = new() { Name = "", Fingerprint = "", ContextLength = 1, VocabularySize = 1, HiddenSize = 1, Created = default },
        Tokenizer = Tokenizer,
        Template = Text.Templates.ChatTemplate.Load(EmbeddedModel.Folder),
    }.EncodeChat([new System.Text.Json.Nodes.JsonObject { ["role"] = "user", ["content"] = text }]);

    private async Task<int[]> TokensAsync(string model, int[] prompt, SamplingOptions sampling, int choice)
    {
        var ids = new List<int>();
        var request = new GenerateRequest { RequestId = Guid.NewGuid().ToString("N"), Model = model, PromptTokenIds = prompt, Sampling = sampling, Choice = choice };
        await foreach (var chunk in cluster.Generation.GenerateAsync(request))
        {
            if (chunk.TokenId >= 0) ids.Add(chunk.TokenId);
        }

        return [.. ids];
    }
}
