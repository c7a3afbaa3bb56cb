using Orleans;
using Orleans.Concurrency;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>One shard of a replica on one worker: loaded, joined to its peers, and ended by the replica's leader. Key: <c>silo/device/model/index/stage.rank</c>.</summary>
/// <remarks>The grain is the address; the partition and its memory belong to the silo and outlive an activation. Placed on the silo that its key names.</remarks>
[Alias("granary.shard")]
public interface IShardGrain : IGrainWithStringKey
{
    /// <summary>Imports and loads the partition; a shard of an earlier life that is still there is ended first.</summary>
    /// <returns>Where its peers reach it.</returns>
    /// <exception cref="Errors.ModelLoadException">It cannot be loaded here; the message says why.</exception>
    [ResponseTimeout("00:30:00"), Alias("load")]
    Task<ShardAddress> LoadAsync(ShardSpec spec, CancellationToken cancellationToken = default);

    /// <summary>Joins the shard to its peers; from then on it runs steps until a link breaks or its life is ended.</summary>
    /// <param name="epoch">The life that was loaded; another one refuses.</param>
    /// <param name="endpoints">[P × T]: where each shard is reached, in the order of <see cref="ReplicaLayout.Workers"/>.</param>
    /// <exception cref="Errors.EpochMismatchException">Another life is loaded, or none.</exception>
    /// <exception cref="Errors.ReplicaFailedException">A peer cannot be reached.</exception>
    [AlwaysInterleave, ResponseTimeout("00:01:00"), Alias("connect")]
    Task ConnectAsync(long epoch, string[] endpoints, CancellationToken cancellationToken = default);

    /// <summary>Ends that life of the shard and frees its memory. Ending what is not there does nothing.</summary>
    [AlwaysInterleave, ResponseTimeout("00:01:00"), Alias("unload")]
    Task UnloadAsync(long epoch, CancellationToken cancellationToken = default);

    /// <summary>How far loading is, and what the shard has done.</summary>
    /// <returns>Null where nothing is loaded.</returns>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("status")]
    Task<ShardStatus?> GetStatusAsync(CancellationToken cancellationToken = default);
}

/// <summary>What a worker is to load as a shard.</summary>
[GenerateSerializer, Immutable, Alias("granary.shard-spec")]
public sealed record ShardSpec
{
    /// <summary>The replica, as its worker is asked for it: model, threads and KV blocks of each shard, layout.</summary>
    [Id(0)]
    public required ReplicaSpec Replica { get; init; }

    /// <summary>The life that the shard is part of.</summary>
    [Id(1)]
    public required long Epoch { get; init; }

    [Id(2)]
    public required int Stage { get; init; }

    [Id(3)]
    public required int Rank { get; init; }
}

/// <summary>Where a loaded shard is reached by its peers.</summary>
[GenerateSerializer, Immutable, Alias("granary.shard-address")]
public sealed record ShardAddress([property: Id(0)] string Endpoint);

/// <summary>One shard as its silo sees it.</summary>
[GenerateSerializer, Immutable, Alias("granary.shard-status")]
public sealed record ShardStatus
{
    [Id(0)]
    public required string ReplicaId { get; init; }

    [Id(1)]
    public required long Epoch { get; init; }

    [Id(2)]
    public required int Stage { get; init; }

    [Id(3)]
    public required int Rank { get; init; }

    [Id(4)]
    public required ShardState State { get; init; }

    /// <summary>0 to 1 while loading.</summary>
    [Id(5)]
    public double Progress { get; init; }

    /// <summary>Bytes of weights and KV cache.</summary>
    [Id(6)]
    public long MemoryBytes { get; init; }

    [Id(7)]
    public long Steps { get; init; }

    /// <summary>Smoothed seconds that a step took here, waiting for peers included; 0 until measured.</summary>
    [Id(8)]
    public double SecondsPerStep { get; init; }

    /// <summary>Of those, seconds spent waiting for peers.</summary>
    [Id(9)]
    public double WaitSecondsPerStep { get; init; }

    [Id(10)]
    public LinkStatus[] Links { get; init; } = [];
}

/// <summary>What a shard is doing.</summary>
public enum ShardState
{
    Loading = 0,

    /// <summary>Loaded, its peers not yet joined.</summary>
    Loaded = 1,

    Running = 2,
}

/// <summary>One link of a shard.</summary>
/// <param name="Peer"><c>stage.rank</c>, or <c>engine</c>.</param>
/// <param name="Purpose"><c>control</c>, <c>activations</c> or <c>reduction</c>.</param>
[GenerateSerializer, Immutable, Alias("granary.link-status")]
public sealed record LinkStatus(
    [property: Id(0)] string Peer, [property: Id(1)] string Purpose, [property: Id(2)] long FramesSent, [property: Id(3)] long BytesSent,
    [property: Id(4)] long FramesReceived, [property: Id(5)] long BytesReceived);
