using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using Granary.Client;
using Microsoft.Extensions.AI;

namespace Granary.Tests.Client.AI;

/// <summary>Pipelines around the clients, as applications build them: a loop that calls tools, and a log.</summary>
public sealed partial class PipelineTests
{
    [Fact]
    public async Task ToolLoop_CallsUntilTheModelAnswers()
    {
        var fake = new FakeClient("""CALL add {"x":20,"y":22}""", "It is 42.");
        var log = new List<string>();
        using var chat = new LoggingClient(new InvokingClient(fake.AsChatClient()), log);
        var options = new ChatOptions { Tools = [AIFunctionFactory.Create((int x, int y) => x + y, "add")] };

        var response = await chat.GetResponseAsync([new(ChatRole.User, "What is 20 + 22?")], options);

        Assert.Equal("It is 42. ", response.Text);
        Assert.Equal(2, fake.Chats.Count);
        Assert.All(fake.Chats, request => Assert.Equal("add", (string?)Assert.Single(request.Tools!)!["function"]!["name"]));
        var turns = fake.Chats[1].Messages;
        Assert.Equal(["user", "assistant", "tool"], turns.Select(turn => turn.Role));
        Assert.Equal("""{"x":20,"y":22}""", (string?)turns[1].ToolCalls![0]!["function"]!["arguments"]);
        Assert.Equal(((string?)turns[1].ToolCalls![0]!["id"], "42"), (turns[2].ToolCallId, turns[2].Content));
        Assert.Equal(["asked 1", "answered length 2"], log);
    }

    [Fact]
    public async Task Stream_PassesThroughALog_AndServicesAreFoundBehindIt()
    {
        var fake = new FakeClient("one two");
        var log = new List<string>();
        using var chat = new LoggingClient(fake.AsChatClient(), log);

        var texts = new List<string>();
        await foreach (var update in chat.GetStreamingResponseAsync([new(ChatRole.User, "Count")])) texts.Add(update.Text);

        Assert.Equal("one two ", string.Concat(texts));
        Assert.Equal(["asked 1", "update", "update", "update", "update"], log);
        Assert.Same(fake, chat.GetService(typeof(GranaryClient)));
        Assert.Equal("granary", chat.GetService<ChatClientMetadata>()!.ProviderName);
    }

    [Fact]
    public async Task Embeddings_PassThroughACache()
    {
        var fake = new FakeClient();
        using var generator = new CachingGenerator(fake.AsEmbeddingGenerator("mine"));

        var first = await generator.GenerateAsync(["a", "bb"], new EmbeddingGenerationOptions { Dimensions = 1 });
        var second = await generator.GenerateAsync(["bb", "ccc"], new EmbeddingGenerationOptions { Dimensions = 1, ModelId = "named" });

        Assert.Equal([1f, 2f], first.Select(embedding => embedding.Vector.Span[0]));
        Assert.Equal([2f, 3f], second.Select(embedding => embedding.Vector.Span[0]));
        Assert.Equal(["mine", "named"], second.Select(embedding => embedding.ModelId!));
        Assert.Equal([("mine", 2, 1), ("named", 1, 1)], fake.Embeddings.Select(request => (request.Model!, request.Inputs.Count, request.Dimensions!.Value)));
        Assert.Equal((2L, 2L), (first.Usage!.InputTokenCount, first.Usage.TotalTokenCount));
    }

    [Fact]
    public async Task ManyTexts_AreEmbeddedInSeveralRequests_AndNoneInNone()
    {
        var fake = new FakeClient();
        using var generator = fake.AsEmbeddingGenerator();

        var embeddings = await generator.GenerateAsync(Enumerable.Range(0, 5000).Select(i => new string('x', i % 7)));
        Assert.Equal(5000, embeddings.Count);
        Assert.Equal([2048, 2048, 904], fake.Embeddings.Select(request => request.Inputs.Count));
        Assert.Empty(await generator.GenerateAsync([]));

        Assert.Equal(("granary", "default"), (generator.GetService<EmbeddingGeneratorMetadata>()!.ProviderName, generator.GetService<EmbeddingGeneratorMetadata>()!.DefaultModelId));
        Assert.Same(fake, generator.GetService(typeof(GranaryClient)));
        Assert.Null(generator.GetService(typeof(GranaryClient), "key"));
    }

    /// <summary>Finds calls in the model's text, invokes them, and asks again with their results.</summary>
    private sealed partial class InvokingClient(IChatClient inner) : DelegatingChatClient(inner)
    {
        public override async Task<ChatResponse> GetResponseAsync(
            IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
        {
            var history = messages.ToList();
            while (true)
            {
                var response = await base.GetResponseAsync(history, options, cancellationToken);
                if (CallPattern().Match(response.Text) is not { Success: true } match) return response;
                var arguments = JsonSerializer.Deserialize<Dictionary<string, object?>>(match.Groups[2].Value)!;
                var function = options!.Tools!.OfType<AIFunction>().Single(tool => tool.Name == match.Groups[1].Value);
                var call = new FunctionCallContent(Guid.NewGuid().ToString("N"), function.Name, arguments);
                history.Add(new(ChatRole.Assistant, [call]));
                history.Add(new(ChatRole.Tool, [new FunctionResultContent(call.CallId, await function.InvokeAsync(new(arguments), cancellationToken))]));
            }
        }

        [GeneratedRegex(@"^CALL (\w+) (\{.*\})")]
        private static partial Regex CallPattern();
    }

    private sealed class LoggingClient(IChatClient inner, List<string> log) : DelegatingChatClient(inner)
    {
        public override async Task<ChatResponse> GetResponseAsync(
            IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
        {
            log.Add($"asked {messages.Count()}");
            var response = await base.GetResponseAsync(messages, options, cancellationToken);
            log.Add($"answered {response.FinishReason} {response.Usage!.OutputTokenCount}");
            return response;
        }

        public override async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages, ChatOptions? options = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            log.Add($"asked {messages.Count()}");
            await foreach (var update in base.GetStreamingResponseAsync(messages, options, cancellationToken))
            {
                log.Add("update");
                yield return update;
            }
        }
    }

    private sealed class CachingGenerator(IEmbeddingGenerator<string, Embedding<float>> inner) : DelegatingEmbeddingGenerator<string, Embedding<float>>(inner)
    {
        private readonly Dictionary<string, Embedding<float>> _known = [];

        public override async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(
            IEnumerable<string> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellationToken = default)
        {
            var all = values.ToList();
            var missing = all.Where(value => !_known.ContainsKey(value)).ToList();
            var made = await base.GenerateAsync(missing, options, cancellationToken);
            for (var i = 0; i < missing.Count; i++) _known[missing[i]] = made[i];
            return new(all.Select(value => _known[value])) { Usage = made.Usage };
        }
    }
}
