using Granary.Engine.Partitioning;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>All links of one shard to its peers: open together, closed together.</summary>
public sealed class ShardLinks : IDisposable
{
    private readonly ReplicaLinks _replica;
    private readonly ShardPlace _place;
    private readonly ILinkListener _listener;

    private ShardLinks(ReplicaLinks replica, ShardSlice slice, ILinkListener listener, ITensorLink[] opened)
    {
        _replica = replica;
        _place = slice.Place;
        _listener = listener;
        All = opened;
        Before = Array.Find(opened, link => link.Identity.Purpose == LinkPurpose.Activations && link.Identity.Acceptor == slice.Place);
        Behind = Array.Find(opened, link => link.Identity.Purpose == LinkPurpose.Activations && link.Identity.Dialer == slice.Place);
        Ranks = [.. Enumerable.Range(0, slice.Ranks).Select(rank => rank == slice.Place.Rank ? null
            : Array.Find(opened, link => link.Identity == replica.Reduction(slice.Place.Stage, slice.Place.Rank, rank)))];
    }

    /// <summary>From the same rank of the stage before; null for the first stage.</summary>
    public ITensorLink? Before { get; }

    /// <summary>To the same rank of the next stage; null for the last stage.</summary>
    public ITensorLink? Behind { get; }

    /// <summary>To each rank of the stage, by rank; null at the own one.</summary>
    public IReadOnlyList<ITensorLink?> Ranks { get; }

    /// <summary>All but the engine's.</summary>
    public IReadOnlyList<ITensorLink> All { get; }

    /// <summary>Opens the links to the stages before and behind, and to the ranks beside.</summary>
    /// <param name="listener">Where the shard's endpoint is listened on.</param>
    /// <exception cref="LinkException">A peer cannot be reached in time, or refuses.</exception>
    /// <exception cref="OperationCanceledException">A peer did not dial until then. None of the links is open.</exception>
    public static async Task<ShardLinks> OpenAsync(
        ReplicaLinks replica, ShardSlice slice, ILinkTransport transport, ILinkListener listener, CancellationToken cancellationToken = default)
    {
        var (stage, rank) = (slice.Place.Stage, slice.Place.Rank);
        var links = new List<LinkIdentity>();
        if (!slice.IsFirstStage) links.Add(replica.Activations(new(stage - 1, rank)));
        if (!slice.IsLastStage) links.Add(replica.Activations(slice.Place));
        for (var other = 0; other < slice.Ranks; other++)
        {
            if (other != rank) links.Add(replica.Reduction(stage, rank, other));
        }

        var opened = await ReplicaLinks.AllOrNone(links.Select<LinkIdentity, Func<CancellationToken, Task<ITensorLink>>>(link => token =>
            link.Dialer == slice.Place ? replica.Dial(transport, link, token) : listener.AcceptAsync(link, token)), cancellationToken).ConfigureAwait(false);
        return new(replica, slice, listener, opened);
    }

    /// <summary>Waits for the engine.</summary>
    /// <exception cref="OperationCanceledException">It did not dial until then.</exception>
    public Task<ITensorLink> AcceptControlAsync(CancellationToken cancellationToken) => _listener.AcceptAsync(_replica.Control(_place), cancellationToken);

    public void Abort(string reason)
    {
        foreach (var link in All) link.Abort(reason);
    }

    public void Dispose()
    {
        foreach (var link in All) link.Dispose();
    }
}
