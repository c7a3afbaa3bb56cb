using Granary.Client;
using Granary.Tests.Client.Support;

namespace Granary.Tests.Client.Grains;

/// <summary>Every value out of its bounds is refused by name, in the gateway's words.</summary>
public sealed class BoundsTests(SimulatedCluster cluster) : IClassFixture<SimulatedCluster>
{
    private static readonly GenerationSettings Plain = new();

    private static readonly Dictionary<string, (GenerationSettings Settings, string Parameter, string Message)> Chats = new()
    {
        ["n"] = (Plain with { Choices = 0 }, "n", "n is 0; it must be an integer of at least 1."),
        ["n above"] = (Plain with { Choices = 33 }, "n", "n is 33; it must be an integer from 1 to 32."),
        ["max"] = (Plain with { MaxTokens = 0 }, "max_completion_tokens", "max_completion_tokens is 0; it must be an integer of at least 1."),
        ["min"] = (Plain with { MinTokens = 5, MaxTokens = 4 }, "min_tokens", "min_tokens is 5; it must be an integer from 0 to 4."),
        ["temperature"] = (Plain with { Temperature = 2.5f }, "temperature", "temperature is 2.5; it must be a number from 0 to 2."),
        ["no number"] = (Plain with { Temperature = float.NaN }, "temperature", "temperature is NaN; it must be a number from 0 to 2."),
        ["top_p"] = (Plain with { TopP = 0 }, "top_p", "top_p is 0; it must be a number above 0 and at most 1."),
        ["top_k"] = (Plain with { TopK = -2 }, "top_k", "top_k is -2; it must be an integer of at least -1."),
        ["min_p"] = (Plain with { MinP = 1.5f }, "min_p", "min_p is 1.5; it must be a number from 0 to 1."),
        ["repetition"] = (Plain with { RepetitionPenalty = 11 }, "repetition_penalty", "repetition_penalty is 11; it must be a number from 0.01 to 10."),
        ["presence"] = (Plain with { PresencePenalty = -3 }, "presence_penalty", "presence_penalty is -3; it must be a number from -2 to 2."),
        ["frequency"] = (Plain with { FrequencyPenalty = 3 }, "frequency_penalty", "frequency_penalty is 3; it must be a number from -2 to 2."),
        ["bias"] = (Plain with { LogitBias = new Dictionary<int, float> { [1] = 101 } }, "logit_bias.1", "logit_bias.1 is 101; it must be a number from -100 to 100."),
        ["bias id"] = (Plain with { LogitBias = new Dictionary<int, float> { [4096] = 1 } }, "logit_bias", "logit_bias has a key that is not a token id; ids are 0 to 4095."),
        ["biases"] = (Plain with { LogitBias = Enumerable.Range(0, 1025).ToDictionary(id => id, _ => 1f) }, "logit_bias", "logit_bias has more than 1024 entries."),
        ["stops"] = (Plain with { Stops = [.. Enumerable.Repeat("x", 17)] }, "stop", "stop is a list of 17; it must be a string or a list of at most 16 strings."),
        ["stop"] = (Plain with { Stops = [""] }, "stop", "stop has an entry that is not a string of 1 to 512 characters."),
        ["stop ids"] = (Plain with { StopTokenIds = [0, -1] }, "stop_token_ids", "stop_token_ids[1] is not a token id; ids are 0 to 4095."),
        ["top_logprobs"] = (Plain with { TopLogprobs = 21 }, "top_logprobs", "top_logprobs is 21; it must be an integer from 0 to 20."),
        ["salt"] = (Plain with { CacheSalt = new string('s', 257) }, "cache_salt", "cache_salt is a longer string; it must be at most 256 characters long."),
        ["session"] = (Plain with { SessionId = new string('s', 257) }, "session_id", "session_id is a longer string; it must be 1 to 256 visible ASCII characters other than '/'."),
        ["timeout"] = (Plain with { Timeout = TimeSpan.Zero }, "timeout", "timeout is 00:00:00; it must be above 0 and at most 1.00:00:00."),
    };

    public static TheoryData<string> ChatCases() => [.. Chats.Keys];

    [Theory, MemberData(nameof(ChatCases))]
    public async Task Setting_IsRefused(string name)
    {
        var (settings, parameter, message) = Chats[name];
        var model = await cluster.DeployAsync();

        var (_, error) = await Lazily(() => cluster.Client().ChatAsync(Updates.Ask(settings: settings, model: model))).ReadToErrorAsync<GranaryRequestException>();

        Assert.Equal((parameter, message, "invalid_value"), (error.Parameter, error.Message, error.Code));
    }

    [Fact]
    public async Task Messages_AreRefused()
    {
        await RefuseAsync(new ChatRequest { Messages = [] }, "messages", "messages is a list of 0; it must be a list of 1 to 4096 messages.");
        await RefuseAsync(
            new ChatRequest { Messages = [new("user", "a"), new("poet", "b")] }, "messages[1].role",
            "messages[1].role is 'poet'; it must be system, developer, user, assistant or tool.");

        async Task RefuseAsync(ChatRequest request, string parameter, string message)
        {
            var (_, error) = await Lazily(() => cluster.Client().ChatAsync(request)).ReadToErrorAsync<GranaryRequestException>();
            Assert.Equal((parameter, message), (error.Parameter, error.Message));
        }
    }

    [Fact]
    public async Task PromptsAndRoom_AreRefused()
    {
        var model = await cluster.DeployAsync();
        await RefuseAsync(new(), "prompt", "prompt is missing; it must be text or token ids.", "invalid_value");
        await RefuseAsync(new() { Prompt = "a", PromptTokenIds = [1] }, "prompt", "prompt is both text and token ids; it must be text or token ids.", "invalid_value");
        await RefuseAsync(new() { PromptTokenIds = [] }, "prompt", "prompt is empty; it must have at least one token.", "invalid_value");
        await RefuseAsync(new() { PromptTokenIds = [1, 4096] }, "prompt", "prompt[1] is not a token id; ids are 0 to 4095.", "invalid_value");
        await RefuseAsync(
            new() { PromptTokenIds = new int[1024] }, "prompt",
            "prompt has 1024 tokens; with at least one to generate, the context of 1024 tokens is exceeded.", "context_length_exceeded");
        await RefuseAsync(
            new() { PromptTokenIds = new int[1000], Settings = new() { MaxTokens = 25 } }, "max_tokens",
            "max_tokens is 25; with 1000 prompt tokens at most 24 fit into the context of 1024 tokens.", "context_length_exceeded");
        await RefuseAsync(
            new() { PromptTokenIds = [1], Settings = new() { TopLogprobs = 6 } }, "logprobs", "logprobs is 6; it must be an integer from 0 to 5.", "invalid_value");

        async Task RefuseAsync(CompletionRequest request, string parameter, string message, string code)
        {
            var (_, error) = await Lazily(() => cluster.Client().CompleteAsync(request with { Model = model })).ReadToErrorAsync<GranaryRequestException>();
            Assert.Equal((parameter, message, code), (error.Parameter, error.Message, error.Code));
        }
    }

    /// <summary>Where a call refuses at once or with its first update is not part of what is promised.</summary>
    private static async IAsyncEnumerable<GenerationUpdate> Lazily(Func<IAsyncEnumerable<GenerationUpdate>> call)
    {
        await foreach (var update in call()) yield return update;
    }
}
