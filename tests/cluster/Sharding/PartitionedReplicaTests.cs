using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Cluster.Grains;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Cluster.Sharding;

/// <summary>Replicas cut over silos: they come whole or not at all, end whole, and come again where there is room.</summary>
public sealed class PartitionedReplicaTests
{
    [Fact]
    public async Task DeployAsync_ThreeStages_PutsOneOnEachSiloAndAnswers()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 1);

        var status = await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 3));

        Assert.Empty(status.Missing);
        Assert.Equal(["Silo_0", "Silo_1", "Silo_2"], cluster.Shards.Loaded.Select(shard => shard.Silo).Order());
        Assert.Equal([0, 1, 2], cluster.Shards.Loaded.Select(shard => shard.Spec.Stage).Order());
        var layout = cluster.Shards.Loaded[0].Spec.Replica.Layout!;
        Assert.Equal((3, 1, ScriptedShards.Layers), (layout.Stages, layout.Ranks, layout.LayersPerStage.Sum()));
        Assert.Equal(layout.Workers.Select(worker => $"memory:{GrainKeys.SiloOf(worker)}"), cluster.Shards.Loaded[0].Life.Endpoints);
        Assert.StartsWith(layout.Workers[0], Assert.Single(status.Replicas).Replica.ReplicaId);
        var request = GrainsFixture.Request(ShardingCluster.Model, [1, 2, 3]);
        var tokens = await GrainsFixture.ReadAsync(cluster.Client.GenerateAsync(request));
        Assert.Equal(await GrainsFixture.RunAloneAsync(request), tokens.Select(token => token.TokenId));
    }

    [Fact]
    public async Task DeployAsync_Again_KeepsWhatLives()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 2);
        var first = await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));

        var again = await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));
        var auto = await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 0, ranks: 0));

        Assert.Equal(first.Replicas, again.Replicas);
        Assert.Equal(first.Replicas, auto.Replicas);
        Assert.Equal(2, cluster.Shards.Loaded.Length);
    }

    [Fact]
    public async Task DeployAsync_OtherwiseCut_EndsTheOldOneFirst()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 1);
        var first = await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));

        var second = await ShardingCluster.UntilAsync(
            async () => await TryDeployAsync(cluster, ShardingCluster.Spec(stages: 1, ranks: 2)), status => status?.Replicas.Length == 1);

        Assert.True(second!.Replicas[0].Replica.Epoch > first.Replicas[0].Replica.Epoch);
        Assert.Equal([(0, 0), (0, 1)], cluster.Shards.Living.Select(shard => (shard.Spec.Stage, shard.Spec.Rank)).Order());
        Assert.All(cluster.Shards.Loaded.Take(2), shard => Assert.True(shard.IsDisposed));
    }

    [Fact]
    public async Task DeployAsync_NoneWanted_EndsEngineAndShards()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 1);
        await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));

        await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2, replicas: 0));

        Assert.All(cluster.Shards.Loaded, shard => Assert.True(shard.IsDisposed));
        Assert.All(cluster.Shards.Loaded, shard => Assert.Equal("Its engine has ended.", shard.Life.Reason)); // The engine first.
    }

    [Fact]
    public async Task Load_OneShardFails_UnloadsTheOthersAndSaysWhich()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 1);
        using var others = new CountdownEvent(2);
        cluster.Shards.WhileLoading = async (_, spec, _, cancellationToken) =>
        {
            if (spec.Stage == 1)
            {
                await Task.Run(others.Wait, cancellationToken); // The others are loaded, or being loaded, by now.
                throw new ModelLoadException("The disk is empty.");
            }

            others.Signal();
            if (spec.Stage == 2) await Task.Delay(Timeout.Infinite, cancellationToken);
        };

        var deploying = cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 3));
        var error = await Assert.ThrowsAsync<ModelLoadException>(() => deploying);
        cluster.Shards.WhileLoading = (_, _, _, _) => Task.CompletedTask;

        Assert.Contains("/1.0'", error.Message);
        Assert.Contains("The disk is empty.", error.Message);
        Assert.All(cluster.Shards.Loaded.Take(1), shard => Assert.True(shard.IsDisposed));
        // It is tried again by itself.
        await ShardingCluster.UntilAsync(() => cluster.ModelGrain.GetStatusAsync(), status => status.Replicas.Length == 1);
        Assert.Equal(3, cluster.Shards.Living.Length);
    }

    [Fact]
    public async Task Load_OneShardIsSlow_ItsProgressIsTold()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 1);
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster.Shards.WhileLoading = async (_, spec, progress, cancellationToken) =>
        {
            progress.Report(0.5);
            if (spec.Stage == 1) await gate.Task.WaitAsync(cancellationToken);
        };

        var deploying = cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));
        var shards = await ShardingCluster.UntilAsync(
            async () => (await cluster.Inventory.GetWorkersAsync()).SelectMany(worker => worker.Shards).OrderBy(shard => shard.Stage).ToArray(),
            shards => shards is [{ State: ShardState.Loaded }, { State: ShardState.Loading, Progress: 0.5 }]);
        var missing = Assert.Single((await cluster.ModelGrain.GetStatusAsync()).Missing);
        gate.SetResult();
        await deploying;

        Assert.Equal([0, 1], shards.Select(shard => shard.Stage));
        Assert.Equal($"{ShardingCluster.Model}/0", missing.Replica);
        Assert.Contains("being loaded", missing.Reason);
    }

    [Fact]
    public async Task ShardsSilo_Dies_StreamGoesOnAndTheReplicaComesBackOnWhatIsLeft()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 2);
        var first = (await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 3))).Replicas[0].Replica;
        var victim = cluster.Shards.Loaded.First(shard => shard.Silo != "Silo_0" && !first.ReplicaId.StartsWith(shard.Silo, StringComparison.Ordinal)).Silo;

        var stream = await KillUnderAStreamAsync(cluster, victim);
        var second = await WhenBackAsync(cluster, first.Epoch);

        Assert.DoesNotContain(cluster.Shards.Living, shard => shard.Silo == victim);
        Assert.Equal(3, cluster.Shards.Living.Length);
        Assert.True(second.Epoch > first.Epoch);
        await stream.WaitAsync(GrainsFixture.Patience);
        await AssertAnswersAsync(cluster);
    }

    [Fact]
    public async Task ShardsSilo_DiesWhileNothingRuns_TheReplicaComesBackByItself()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 2);
        var first = (await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 3))).Replicas[0].Replica;
        var victim = cluster.Shards.Loaded.First(shard => shard.Silo != "Silo_0").Silo;

        await cluster.KillAsync(victim);
        await WhenBackAsync(cluster, first.Epoch);

        Assert.DoesNotContain(cluster.Shards.Living, shard => shard.Silo == victim);
        await AssertAnswersAsync(cluster);
    }

    [Fact]
    public async Task LeadersSilo_Dies_StreamGoesOnAndTheReplicaIsLedFromElsewhere()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 2);
        // The control plane is on Silo_0; the leader is to be on another.
        var first = (await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(2, 1, 1, "Silo_1/cpu", "Silo_2/cpu"))).Replicas[0].Replica;
        var victim = GrainKeys.SiloOf(first.ReplicaId).ToString();

        var stream = await KillUnderAStreamAsync(cluster, victim);
        var second = await WhenBackAsync(cluster, first.Epoch);

        Assert.NotEqual(victim, GrainKeys.SiloOf(second.ReplicaId).ToString());
        Assert.Equal(2, cluster.Shards.Living.Length);
        await stream.WaitAsync(GrainsFixture.Patience);
        await AssertAnswersAsync(cluster);
    }

    [Fact]
    public async Task SiloDies_RestIsTooSmall_StatusSaysWhyUntilASiloComes()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 1);
        var first = (await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 3))).Replicas[0].Replica;
        var victim = cluster.Shards.Loaded.First(shard => shard.Silo != "Silo_0").Silo;

        var stream = await KillUnderAStreamAsync(cluster, victim);
        var status = await ShardingCluster.UntilAsync(
            () => cluster.ModelGrain.GetStatusAsync(), status => status.Missing is [{ Reason: var reason }] && reason.Contains("fits nowhere", StringComparison.Ordinal));
        await cluster.StartSiloAsync();
        var second = await WhenBackAsync(cluster, first.Epoch);

        Assert.Equal(1, status.WantedReplicas);
        Assert.Contains("Silo_0/cpu:", status.Missing[0].Reason, StringComparison.Ordinal); // The arithmetic, worker by worker.
        Assert.Contains(cluster.Shards.Living, shard => shard.Silo == "Silo_3");
        Assert.True(second.Epoch > first.Epoch);
        await stream.WaitAsync(GrainsFixture.Patience);
        await AssertAnswersAsync(cluster);
    }

    [Fact]
    public async Task ShardsSilo_Stops_RunningSequencesEndFirst()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 2);
        var first = (await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(2, 1, 1, "Silo_1/cpu", "Silo_2/cpu"))).Replicas[0].Replica;
        var other = first.ReplicaId.StartsWith("Silo_1/", StringComparison.Ordinal) ? "Silo_2" : "Silo_1";
        var request = GrainsFixture.Request(ShardingCluster.Model, [1, 2, 3], maxTokens: 40);
        var chunks = new List<TokenChunk>();
        Task? stopping = null;

        await foreach (var chunk in cluster.Client.GenerateAsync(request))
        {
            chunks.Add(chunk);
            if (chunks.Count == 2) stopping = cluster.StopAsync(other);
        }

        await stopping!;
        Assert.Equal(await GrainsFixture.RunAloneAsync(request), chunks.Select(chunk => chunk.TokenId));
    }

    [Fact]
    public async Task LeadersSilo_Stops_AnotherLifeIsThereBeforeTheFirstHasEnded()
    {
        await using var cluster = await ShardingCluster.StartAsync(
            5, cores: 1, configure: (_, services) => services.Configure<EngineHostOptions>(host => host.DrainTimeout = TimeSpan.FromMinutes(1)));
        // The control plane is on Silo_0, which has no shard.
        string[] workers = ["Silo_1/cpu", "Silo_2/cpu", "Silo_3/cpu", "Silo_4/cpu"];
        var first = (await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(2, 1, 1, workers))).Replicas[0].Replica;
        var connections = new ReplicaConnections(cluster.Grains, TimeProvider.System);
        var request = GrainsFixture.Request(ShardingCluster.Model, [1, 2, 3], maxTokens: 1000);
        // Nobody reads on: the first life has somebody to wait for.
        await using var stream = await connections.SubmitAsync(first, request, CancellationToken.None);
        Assert.Equal(StreamNews.Token, await stream.NextAsync());

        var stopping = cluster.StopAsync(GrainKeys.SiloOf(first.ReplicaId).ToString());
        var second = await WhenBackAsync(cluster, first.Epoch);

        Assert.False(stopping.IsCompleted);
        Assert.Equal(4, cluster.Shards.Living.Length); // Two of each.
        Assert.NotEqual(GrainKeys.SiloOf(first.ReplicaId).ToString(), GrainKeys.SiloOf(second.ReplicaId).ToString());
        await stream.DisposeAsync();
        await stopping;
        await AssertAnswersAsync(cluster);
    }

    [Fact]
    public async Task ControlPlane_IsLost_RepeatedDeploymentFindsTheLivingReplica()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 2);
        var spec = ShardingCluster.Spec(2, 1, 1, "Silo_0/cpu", "Silo_1/cpu");
        // Asked for by Silo_2, which then has the control plane and no shard.
        var first = await cluster.Of("Silo_2").GetGrain<IModelGrain>(ShardingCluster.Model).DeployAsync(spec);

        await cluster.KillAsync("Silo_2");
        var second = await ShardingCluster.UntilAsync(() => TryDeployAsync(cluster, spec), status => status is not null);

        Assert.Equal(first.Replicas, second!.Replicas);
        Assert.Equal(2, cluster.Shards.Loaded.Length);
    }

    [Fact]
    public async Task Replica_NobodyWants_IsEnded()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 4, watchPeriod: TimeSpan.FromMilliseconds(50));
        await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));
        var wanted = cluster.Shards.Living;
        // As an earlier control plane might have left it.
        var leader = cluster.Shards.Loaded[0].Spec.Replica.Layout!.Workers[1];
        var stray = new ReplicaSpec(GrainKeys.Replica(leader, ShardingCluster.Model, 5), ShardingCluster.Model, 1, 64, new([3, 3], 1, [leader, leader]));
        await cluster.Grains.GetGrain<IWorkerGrain>(leader).LoadAsync(stray);

        await ShardingCluster.UntilAsync(() => Task.FromResult(cluster.Shards.Living.Length), living => living == 2);

        Assert.Equal(wanted, cluster.Shards.Living);
    }

    private static async Task<ModelStatus?> TryDeployAsync(ShardingCluster cluster, DeploymentSpec spec)
    {
        try
        {
            return await cluster.ModelGrain.DeployAsync(spec);
        }
        catch (ModelLoadException)
        {
            return null; // What was given back has not been reported yet.
        }
    }

    /// <summary>A stream runs when the silo dies.</summary>
    /// <returns>Completes when the stream has ended, with all that it would have had.</returns>
    private static async Task<Task> KillUnderAStreamAsync(ShardingCluster cluster, string silo)
    {
        var killed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var request = GrainsFixture.Request(ShardingCluster.Model, [1, 2, 3], maxTokens: 900);
        var ending = ReadAsync();
        await await Task.WhenAny(killed.Task, ending);
        return ending;

        async Task ReadAsync()
        {
            var delivered = new List<int>();
            await foreach (var chunk in cluster.Client.GenerateAsync(request))
            {
                delivered.Add(chunk.TokenId);
                if (delivered.Count != 3) continue;
                await cluster.KillAsync(silo);
                killed.SetResult();
            }

            Assert.Equal(await GrainsFixture.RunAloneAsync(request), delivered);
        }
    }

    private static async Task<GrainInterfaces.Routing.ReplicaLife> WhenBackAsync(ShardingCluster cluster, long after) =>
        (await ShardingCluster.UntilAsync(
            () => cluster.ModelGrain.GetStatusAsync(), status => status.Replicas is [var replica] && replica.Replica.Epoch > after)).Replicas[0].Replica;

    private static async Task AssertAnswersAsync(ShardingCluster cluster)
    {
        var request = GrainsFixture.Request(ShardingCluster.Model, [4, 5]);
        var tokens = await GrainsFixture.ReadAsync(cluster.Client.GenerateAsync(request));
        Assert.Equal(await GrainsFixture.RunAloneAsync(request), tokens.Select(token => token.TokenId));
    }
}
