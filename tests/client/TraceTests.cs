using System.Collections.Concurrent;
using System.Diagnostics;
using Granary.Client;
using Granary.Tests.Client.Support;

namespace Granary.Tests.Client;

/// <summary>The activities of calls: what they tell, and what they never tell.</summary>
public sealed class TraceTests
{
    private const string Secret = "nobody reads this";

    [Fact]
    public async Task Chat_IsTold_AndGoesOnInTheGateway()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Says(Secret));
        using var trace = new Trace();

        await using (var client = GranaryClient.Connect(new() { Endpoint = server.Address }))
        {
            await client.ChatAsync(Updates.Ask(Secret, new() { MaxTokens = 5, Temperature = 0.5f, Seed = 3, SessionId = "talk", Stops = [Secret] }, "tiny")).ReadAsync();
        }

        var activity = trace.Single();
        Assert.Equal(("chat tiny", ActivityKind.Client, ActivityStatusCode.Unset), (activity.DisplayName, activity.Kind, activity.Status));
        Assert.Equal(
            new Dictionary<string, string>
            {
                ["gen_ai.operation.name"] = "chat",
                ["gen_ai.provider.name"] = "granary",
                ["gen_ai.request.model"] = "tiny",
                ["server.address"] = "127.0.0.1",
                ["server.port"] = $"{server.Address.Port}",
                ["gen_ai.request.max_tokens"] = "5",
                ["gen_ai.request.temperature"] = "0.5",
                ["gen_ai.request.seed"] = "3",
                ["gen_ai.conversation.id"] = "talk",
                ["gen_ai.response.id"] = "chatcmpl-1",
                ["gen_ai.response.model"] = "tiny",
                ["gen_ai.response.finish_reasons"] = "stop",
                ["gen_ai.usage.input_tokens"] = "3",
                ["gen_ai.usage.output_tokens"] = "2",
                ["gen_ai.usage.cache_read.input_tokens"] = "1",
            },
            Trace.Tags(activity));
        Assert.StartsWith($"00-{activity.TraceId}-", server.Received[0].Headers["traceparent"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refusal_IsToldByItsCode_AndAFailureByItsType()
    {
        await using var server = await GatewayServer.StartAsync(
            GatewayServer.Error(400, Secret, "stop", "invalid_value"), GatewayServer.FramesThen([GatewayServer.Chunk(Secret)], _ => Task.CompletedTask));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address });

        await ExpectAsync("invalid_value", () => client.ChatAsync(Updates.Ask()));
        await ExpectAsync(typeof(GranaryGenerationException).FullName!, () => client.ChatAsync(Updates.Ask()));
        // Refused before anything is sent.
        await ExpectAsync("invalid_value", () => client.CompleteAsync(new()));

        static async Task ExpectAsync(string type, Func<IAsyncEnumerable<GenerationUpdate>> call)
        {
            using var trace = new Trace();
            await call().ReadToErrorAsync<GranaryClientException>();
            var activity = trace.Single();
            Assert.Equal((type, ActivityStatusCode.Error), (Trace.Tags(activity)["error.type"], activity.Status));
            Assert.DoesNotContain(Trace.Tags(activity).Values, value => value.Contains(Secret, StringComparison.Ordinal));
            Assert.Null(activity.StatusDescription);
        }
    }

    [Fact]
    public async Task Embeddings_AreTold()
    {
        await using var server = await GatewayServer.StartAsync(
            GatewayServer.Json(200, """{"model":"tiny","data":[{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":6}}"""));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address });
        using var trace = new Trace();

        await client.EmbedAsync(new() { Inputs = [Secret] });

        var tags = Trace.Tags(trace.Single());
        Assert.Equal(("embeddings", "tiny", "6"), (tags["gen_ai.operation.name"], tags["gen_ai.response.model"], tags["gen_ai.usage.input_tokens"]));
        Assert.DoesNotContain("gen_ai.request.model", tags.Keys);
    }

    /// <summary>Listens to the client's activities below one of its own; tests beside this one have theirs.</summary>
    private sealed class Trace : IDisposable
    {
        private readonly ConcurrentQueue<Activity> _ended = new();
        private readonly ActivityListener _listener;
        private readonly Activity _root = new Activity("test").Start();

        public Trace()
        {
            _listener = new ActivityListener
            {
                ShouldListenTo = source => source.Name == "Granary.Client",
                Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
                ActivityStopped = activity =>
                {
                    if (activity.TraceId == _root.TraceId) _ended.Enqueue(activity);
                },
            };
            ActivitySource.AddActivityListener(_listener);
        }

        public static Dictionary<string, string> Tags(Activity activity) => activity.TagObjects.ToDictionary(
            tag => tag.Key, tag => tag.Value is string[] list ? string.Join(',', list) : FormattableString.Invariant($"{tag.Value}"));

        public Activity Single() => Assert.Single(_ended);

        public void Dispose()
        {
            _listener.Dispose();
            _root.Dispose();
        }
    }
}
