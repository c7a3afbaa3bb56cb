using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains.Placement;
using Orleans;
using Orleans.Placement;

namespace Granary.Grains.Workers;

/// <summary>The address of one shard on the silo that its key names; the shard is the <see cref="ShardHost"/>'s.</summary>
/// <remarks>A load is the only call that is waited for by others of its kind: it can be asked after, joined and ended while it runs.</remarks>
[Immovable, HomePlacement]
internal sealed class ShardGrain(ShardHost shards, LocalWorker worker) : Grain, IShardGrain
{
    private string Key => this.GetPrimaryKeyString();

    public Task<ShardAddress> LoadAsync(ShardSpec spec, CancellationToken cancellationToken = default)
    {
        RequireHome();
        worker.Require(spec);
        return shards.LoadAsync(Key, spec, cancellationToken);
    }

    public Task ConnectAsync(long epoch, string[] endpoints, CancellationToken cancellationToken = default) =>
        shards.ConnectAsync(Key, epoch, endpoints, cancellationToken);

    public Task UnloadAsync(long epoch, CancellationToken cancellationToken = default) => shards.UnloadAsync(Key, epoch, cancellationToken);

    public Task<ShardStatus?> GetStatusAsync(CancellationToken cancellationToken = default) => Task.FromResult(shards.TellLeader(Key));

    private void RequireHome()
    {
        if (Key.StartsWith($"{worker.Key}/", StringComparison.Ordinal)) return;
        throw new ModelLoadException($"Shard '{Key}' was placed on silo '{worker.Silo}', whose worker is '{worker.Key}'.");
    }
}
