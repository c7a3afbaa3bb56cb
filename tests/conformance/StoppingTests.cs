using System.Collections.Frozen;
using System.Net;
using System.Text.Json.Nodes;
using Granary.Engine;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Conformance.Support;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Granary.Tests.Conformance;

/// <summary>What requests see of a silo that is told to stop.</summary>
public sealed class StoppingTests
{
    private const int Tokens = 300;

    /// <summary>Draining begins before the gateway has ended its requests, and the way of their tokens lasts until they have.</summary>
    [Fact]
    public async Task Stop_StreamInProgress_RunsToItsEnd()
    {
        var model = new HeldModel();
        await using var silo = await RunningSilo.StartAsync(configure: services => services.AddSingleton<IReplicaFactory>(model));
        var engines = silo.Services.GetRequiredService<EngineHost>();
        var draining = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        engines.Changed += () =>
        {
            if (engines.IsDraining) draining.TrySetResult();
        };
        model.Executor.Hold();
        model.Executor.Allow(5);
        var body = Api.ChatBody("Hi", ("max_tokens", Tokens), ("stream", true), ("ignore_eos", true), ("seed", 3), ("stream_options", new JsonObject { ["include_usage"] = true }));
        using var request = new HttpRequestMessage(HttpMethod.Post, Api.Chat) { Content = new StringContent(body.ToJsonString(), null, "application/json") };
        using var response = await silo.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        var first = await reader.ReadLineAsync();

        var stopping = silo.Services.GetRequiredService<IHost>().StopAsync();
        await draining.Task.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.False(stopping.IsCompleted);
        model.Executor.Release();

        var frames = Api.ReadFrames($"{first}\n{await reader.ReadToEndAsync()}");
        Assert.Equal(Tokens, (int)frames[^1]["usage"]!["completion_tokens"]!);
        await stopping.WaitAsync(TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task Ready_SiloDrains_IsFalseAtOnceAndLivenessStays()
    {
        var model = new HeldModel();
        await using var silo = await RunningSilo.StartAsync(configure: services => services.AddSingleton<IReplicaFactory>(model));
        var (status, health) = await ReadyAsync(silo);
        Assert.Equal((HttpStatusCode.OK, "ok"), (status, (string?)health["status"]));
        var replica = Assert.Single(health["replicas"]!.AsArray())!;
        Assert.Equal("ready", (string?)replica["state"]);
        Assert.Equal(1, (int)replica["steps"]!); // The probe's.

        silo.Services.GetRequiredService<EngineHost>().BeginDraining();

        (status, health) = await ReadyAsync(silo);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, true), (status, (bool)health["draining"]!));
        Assert.Equal("draining", (string?)health["replicas"]![0]!["state"]);
        using var live = await silo.Http.GetAsync("/health/live");
        Assert.Equal(HttpStatusCode.OK, live.StatusCode);
    }

    /// <summary>What the host gives its services covers what engines are given, by default and by setting.</summary>
    [Theory]
    [InlineData(null, 30)]
    [InlineData("120", 120)]
    public async Task ShutdownSeconds_AreTheHostsAndMoreThanTheEngines(string? setting, int expected)
    {
        await using var silo = await RunningSilo.StartAsync(
            setting is null ? null : new() { ["Granary:ShutdownSeconds"] = setting }, services => services.AddSingleton<IReplicaFactory>(new HeldModel()));

        Assert.Equal(TimeSpan.FromSeconds(expected), silo.Services.GetRequiredService<Microsoft.Extensions.Options.IOptions<HostOptions>>().Value.ShutdownTimeout);
        var drain = silo.Services.GetRequiredService<Microsoft.Extensions.Options.IOptions<EngineHostOptions>>().Value.DrainTimeout;
        Assert.InRange(drain, TimeSpan.FromSeconds(expected / 2), TimeSpan.FromSeconds(expected - 1));
    }

    private static async Task<(HttpStatusCode Status, JsonNode Body)> ReadyAsync(RunningSilo silo)
    {
        using var response = await silo.Http.GetAsync("/health/ready");
        return (response.StatusCode, JsonNode.Parse(await response.Content.ReadAsStringAsync())!);
    }

    /// <summary>One replica over a simulated device whose steps a test holds; its text is the embedded model's.</summary>
    private sealed class HeldModel : IReplicaFactory
    {
        public ScriptedExecutor Executor { get; } = new(new SimulatedExecutor(new SimulatedDevice { VocabularySize = 2048, ContextLength = 512 }));

        public Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken) =>
            Task.FromResult(new LoadedReplica(InferenceEngine.Start(new EngineOptions(), Executor), FrozenSet<int>.Empty));
    }
}
