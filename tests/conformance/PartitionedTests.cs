using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Granary.Silo.Hosting;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance;

/// <summary>The embedded model cut over silos of one process: real shards, real links, HTTP at the front.</summary>
public sealed class PartitionedTests
{
    private const int Silos = 3;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    [Theory]
    [InlineData(3, 1)]
    [InlineData(1, 2)]
    public async Task Chat_CutOverSilos_AnswersAsTheWholeModel(int stages, int ranks)
    {
        await using var whole = await RunningSilo.StartAsync();
        await using var cut = await StartAsync(stages, ranks);

        foreach (var question in (string[])["What is the capital of France?", "Tell me a story."])
            Assert.Equal(await AskAsync(whole, question), await AskAsync(cut, question));

        var topology = await TopologyAsync(cut);
        Assert.Equal(Silos, topology["workers"]!.AsArray().Count);
        var shards = await WhenRunningAsync(cut, stages * ranks);
        Assert.All(shards, shard => Assert.True(shard["memory_bytes"]!.GetValue<long>() > 0));
        Assert.All(shards, shard => Assert.NotEmpty(shard["links"]!.AsArray()));
        Assert.Empty(topology["models"]![0]!["missing"]!.AsArray());
    }

    [Fact]
    public async Task SiloDies_RequestsAreToldAndTheModelComesBackOnWhatIsLeft()
    {
        await using var silo = await StartAsync(stages: 3, ranks: 1);
        var before = await AskAsync(silo, "What is the capital of France?");
        await WhenRunningAsync(silo, Silos);
        var victim = silo.Services.GetRequiredService<CompanionSilos>().Hosts[^1];
        var name = victim.Services.GetRequiredService<SiloIdentity>().Name;

        await victim.StopAsync(new CancellationToken(canceled: true));
        var answer = await WhenAnsweredAsync(silo, "What is the capital of France?");

        Assert.Equal(before, answer);
        var shards = await WhenRunningAsync(silo, Silos);
        Assert.All(shards, shard => Assert.DoesNotContain($"{name}/", shard["worker"]!.GetValue<string>(), StringComparison.Ordinal));
        Assert.Equal(Silos - 1, (await TopologyAsync(silo))["workers"]!.AsArray().Count);
    }

    [Fact]
    public async Task WholeReplicas_OneForEachSilo()
    {
        await using var silo = await RunningSilo.StartAsync(new() { ["Granary:Silos"] = "2", ["Granary:Replicas"] = "2", ["Granary:Cores"] = "2" });

        Assert.NotEmpty(await AskAsync(silo, "What is the capital of France?"));
        await Poll.UntilAsync(
            async () => (await TopologyAsync(silo))["workers"]!.AsArray() is { Count: 2 } workers && workers.All(worker => worker!["replicas"]!.AsArray().Count == 1),
            "each silo has a replica");
    }

    private static Task<RunningSilo> StartAsync(int stages, int ranks) => RunningSilo.StartAsync(new()
    {
        ["Granary:Silos"] = $"{Silos}",
        ["Granary:Stages"] = $"{stages}",
        ["Granary:Ranks"] = $"{ranks}",
        ["Granary:Cores"] = $"{2 * Silos}", // Two shards fit on each.
        ["Granary:Links:SilenceMilliseconds"] = "20000", // A loaded machine must not pass for a dead one.
    });

    private static async Task<string> AskAsync(RunningSilo silo, string question)
    {
        using var response = await PostAsync(silo, question);
        var body = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, body);
        return JsonNode.Parse(body)!["choices"]![0]!["message"]!["content"]!.GetValue<string>();
    }

    /// <summary>Asks until there is an answer; what is told meanwhile is an error of ours.</summary>
    private static async Task<string> WhenAnsweredAsync(RunningSilo silo, string question)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            using var response = await PostAsync(silo, question);
            var body = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
            if (response.StatusCode == HttpStatusCode.OK) return body["choices"]![0]!["message"]!["content"]!.GetValue<string>();
            Assert.NotNull(body["error"]?["message"]);
            Assert.True((int)response.StatusCode >= 500, body.ToJsonString());
            patience.Token.ThrowIfCancellationRequested();
        }
    }

    private static Task<HttpResponseMessage> PostAsync(RunningSilo silo, string question) => silo.Http.PostAsJsonAsync("/v1/chat/completions", new
    {
        model = "tiny-assistant",
        messages = new[] { new { role = "user", content = question } },
        temperature = 0,
        max_tokens = 48,
    });

    private static async Task<JsonNode> TopologyAsync(RunningSilo silo) => (await silo.Http.GetFromJsonAsync<JsonNode>("/admin/topology"))!;

    /// <summary>Reports follow what happens; waits until so many shards are told to run. Each has its worker's key as <c>worker</c>.</summary>
    private static async Task<JsonObject[]> WhenRunningAsync(RunningSilo silo, int count)
    {
        JsonObject[] shards = [];
        await Poll.UntilAsync(async () =>
        {
            shards = [.. (await TopologyAsync(silo))["workers"]!.AsArray().SelectMany(worker => worker!["shards"]!.AsArray().Select(shard =>
            {
                var copy = shard!.DeepClone().AsObject();
                copy["worker"] = worker["worker"]!.GetValue<string>();
                return copy;
            }))];
            return shards.Length == count && shards.All(shard => shard["state"]!.GetValue<string>() == "running");
        }, $"{count} shards run");
        return shards;
    }
}
