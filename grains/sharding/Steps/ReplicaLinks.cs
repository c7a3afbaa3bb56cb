using Granary.Engine.Partitioning;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>Which links one life of a replica has, and who dials whom.</summary>
/// <remarks>
/// The engine dials every shard for control. A shard dials the same rank of the next stage for activations, and the higher ranks of its own
/// stage for sums. Both ends of a link name it by what is written here, so they cannot disagree.
/// </remarks>
/// <param name="ReplicaId">The replica.</param>
/// <param name="Epoch">Its life.</param>
/// <param name="Endpoints">[P × T]: where each shard is reached, stage by stage, in each by rank.</param>
/// <param name="Ranks">T.</param>
public sealed record ReplicaLinks(string ReplicaId, long Epoch, IReadOnlyList<string> Endpoints, int Ranks)
{
    /// <summary>P.</summary>
    public int Stages => Endpoints.Count / Ranks;

    /// <summary>Connects the engine to all shards.</summary>
    /// <returns>[P × T]: the links, in the order of <see cref="Endpoints"/>.</returns>
    /// <exception cref="LinkException">A shard cannot be reached in time, or refuses.</exception>
    public async Task<ITensorLink[]> DialControlAsync(ILinkTransport transport, CancellationToken cancellationToken = default)
    {
        var places = Enumerable.Range(0, Endpoints.Count).Select(i => new ShardPlace(i / Ranks, i % Ranks));
        return await AllOrNone(places.Select<ShardPlace, Func<CancellationToken, Task<ITensorLink>>>(place =>
            token => Dial(transport, Control(place), token)), cancellationToken).ConfigureAwait(false);
    }

    internal LinkIdentity Control(ShardPlace place) => new(ReplicaId, Epoch, default, place, LinkPurpose.Control);

    internal LinkIdentity Activations(ShardPlace sender) => new(ReplicaId, Epoch, sender, sender with { Stage = sender.Stage + 1 }, LinkPurpose.Activations);

    internal LinkIdentity Reduction(int stage, int rank, int other) =>
        new(ReplicaId, Epoch, new(stage, Math.Min(rank, other)), new(stage, Math.Max(rank, other)), LinkPurpose.Reduction);

    internal Task<ITensorLink> Dial(ILinkTransport transport, LinkIdentity link, CancellationToken cancellationToken) =>
        transport.ConnectAsync(Endpoints[link.Acceptor.Stage * Ranks + link.Acceptor.Rank], link, cancellationToken);

    /// <summary>Opens links at the same time; when one fails the others are given up, and closed where they were open.</summary>
    internal static async Task<ITensorLink[]> AllOrNone(IEnumerable<Func<CancellationToken, Task<ITensorLink>>> openings, CancellationToken cancellationToken)
    {
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var opening = openings.Select(open => Open(open, giveUp)).ToArray();
        try
        {
            return await Task.WhenAll(opening).ConfigureAwait(false);
        }
        catch
        {
            foreach (var link in opening)
            {
                if (link.IsCompletedSuccessfully) link.Result.Dispose();
            }

            // What failed first is the reason; the others were only given up.
            var cause = opening.FirstOrDefault(link => link.IsFaulted);
            if (cause is not null) await cause.ConfigureAwait(false);
            throw;
        }
    }

    private static async Task<ITensorLink> Open(Func<CancellationToken, Task<ITensorLink>> open, CancellationTokenSource giveUp)
    {
        try
        {
            return await open(giveUp.Token).ConfigureAwait(false);
        }
        catch
        {
            await giveUp.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }
}
