using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Cluster.Grains;
using Granary.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Granary.Tests.Cluster.Sharding;

/// <summary>The host of a silo's shards: one life a key, each given back before the next, none without a leader.</summary>
public sealed class ShardHostTests
{
    private const string Key = "s/cpu/m/0/1.0";

    private readonly ScriptedShards _shards = new();

    [Fact]
    public async Task LoadAsync_SameEpochTwice_LoadsOnce()
    {
        await using var host = Host();

        var both = await Task.WhenAll(host.LoadAsync(Key, Spec(1)), host.LoadAsync(Key, Spec(1)));

        Assert.Equal(both[0], both[1]);
        Assert.Single(_shards.Loaded);
        Assert.Equal(ShardState.Loaded, host.TellLeader(Key)?.State);
    }

    [Fact]
    public async Task LoadAsync_OtherEpoch_EndsTheOneBeforeFirst()
    {
        await using var host = Host();
        await host.LoadAsync(Key, Spec(1));
        var endedBefore = false;
        _shards.WhileLoading = (_, _, _, _) =>
        {
            endedBefore = _shards.Loaded[0].IsDisposed;
            return Task.CompletedTask;
        };

        await host.LoadAsync(Key, Spec(2));

        Assert.True(endedBefore);
        Assert.Equal(2, host.TellLeader(Key)?.Epoch);
    }

    [Fact]
    public async Task LoadAsync_Fails_LeavesNothingAndCanBeTriedAgain()
    {
        await using var host = Host();
        _shards.WhileLoading = (_, _, _, _) => throw new IOException("shard.onnx is not there.");
        var error = await Assert.ThrowsAsync<ModelLoadException>(() => host.LoadAsync(Key, Spec(1)));
        _shards.WhileLoading = (_, _, _, _) => Task.CompletedTask;
        await host.UnloadAsync(Key, epoch: null);

        await host.LoadAsync(Key, Spec(1));

        Assert.Contains("shard.onnx is not there.", error.Message);
        Assert.Single(host.Shards);
    }

    [Fact]
    public async Task LoadAsync_LeaderGivesUp_EndsTheLoad()
    {
        await using var host = Host();
        var loading = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _shards.WhileLoading = async (_, _, _, cancellationToken) =>
        {
            loading.SetResult();
            await Task.Delay(Timeout.Infinite, cancellationToken);
        };
        using var leader = new CancellationTokenSource();

        var load = host.LoadAsync(Key, Spec(1), leader.Token);
        await loading.Task.WaitAsync(GrainsFixture.Patience);
        await leader.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => load);
        await host.UnloadAsync(Key, 1).WaitAsync(GrainsFixture.Patience);

        Assert.Empty(host.Shards);
        Assert.Empty(_shards.Loaded);
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(1, 0)]
    public async Task ConnectAsync_OtherEpochOrNone_Refuses(long asked, long loaded)
    {
        await using var host = Host();
        if (loaded > 0) await host.LoadAsync(Key, Spec(loaded));

        var error = await Assert.ThrowsAsync<EpochMismatchException>(() => host.ConnectAsync(Key, asked, ["a", "b"]));

        Assert.Equal((asked, loaded), (error.Asked, error.Actual));
        Assert.Equal(loaded > 0 ? 1 : 0, host.Shards.Count);
    }

    [Fact]
    public async Task ConnectAsync_PeerIsLost_EndsTheShard()
    {
        await using var host = Host();
        await host.LoadAsync(Key, Spec(1));

        var joining = host.ConnectAsync(Key, 1, ["a", "b"]);
        await host.UnloadAsync(Key, 1).WaitAsync(GrainsFixture.Patience);

        await Assert.ThrowsAsync<ReplicaFailedException>(() => joining);
        Assert.True(_shards.Loaded[0].IsDisposed);
        Assert.Empty(host.Shards);
    }

    [Fact]
    public async Task UnloadAsync_OtherEpoch_DoesNothing()
    {
        await using var host = Host();
        await host.LoadAsync(Key, Spec(1));

        await host.UnloadAsync(Key, 2);

        Assert.Single(host.Shards);
    }

    [Fact]
    public async Task Shard_EndsByItself_IsGivenBack()
    {
        await using var host = Host();
        await host.LoadAsync(Key, Spec(1));
        var gone = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        host.Changed += () =>
        {
            if (host.Shards.Count == 0) gone.TrySetResult();
        };

        _shards.Loaded[0].Life.Lose("A link broke.");
        await gone.Task.WaitAsync(GrainsFixture.Patience);

        Assert.True(_shards.Loaded[0].IsDisposed);
    }

    [Fact]
    public async Task Leader_SilentBeforeItJoins_LosesItsShard()
    {
        var time = new ManualTime();
        await using var host = Host(time);
        await host.LoadAsync(Key, Spec(1));
        await time.Armed.WaitAsync(GrainsFixture.Patience);

        time.Advance(TimeSpan.FromSeconds(20));
        Assert.NotNull(host.TellLeader(Key));
        time.Advance(TimeSpan.FromSeconds(10)); // The watch looks, and finds that the leader was heard of.
        await time.ArmedTimes(2).WaitAsync(GrainsFixture.Patience);
        Assert.False(_shards.Loaded[0].IsDisposed);
        time.Advance(TimeSpan.FromSeconds(20));
        await ShardingCluster.UntilAsync(() => Task.FromResult(host.Shards.Count), count => count == 0);

        Assert.True(_shards.Loaded[0].IsDisposed);
    }

    [Fact]
    public async Task StopAsync_EndsAllAndRefusesWhatIsNew()
    {
        await using var host = Host();
        await host.LoadAsync(Key, Spec(1));

        await host.StopAsync(CancellationToken.None);

        Assert.True(_shards.Loaded[0].IsDisposed);
        var error = await Assert.ThrowsAsync<ModelLoadException>(() => host.LoadAsync(Key, Spec(2)));
        Assert.Contains("stopping", error.Message);
    }

    private static ShardSpec Spec(long epoch) => new()
    {
        Replica = new ReplicaSpec("l/cpu/m/0", "m", 1, 64, new ReplicaLayout([3, 3], 1, ["l/cpu", "s/cpu"])),
        Epoch = epoch,
        Stage = 1,
        Rank = 0,
    };

    private ShardHost Host(TimeProvider? time = null) => new(
        _shards.Factory("s"), Options.Create(new ShardHostOptions()), time ?? TimeProvider.System, NullLogger<ShardHost>.Instance);
}
