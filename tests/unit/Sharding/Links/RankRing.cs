using Granary.Engine.Partitioning;
using Granary.Sharding.Links;
using Granary.Sharding.Reduction;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Sharding.Links;

/// <summary>The ranks of one stage, each with a link to every other and a thread of its own while it adds up.</summary>
internal sealed class RankRing : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly List<ILinkListener> _listeners = [];

    private RankRing(int ranks, LinkOptions? options, TimeProvider? time) =>
        Transports = [.. Enumerable.Range(0, ranks).Select(_ => new FaultyTransport(options ?? LinkPair.Options, time ?? TimeProvider.System))];

    /// <summary>By rank, as if each were a silo.</summary>
    public List<FaultyTransport> Transports { get; }

    public List<LinkRankReducer> Reducers { get; } = [];

    public List<ITensorLink?[]> Links { get; } = [];

    public static async Task<RankRing> OpenAsync(string scheme, int ranks, WireFormat format, LinkOptions? options = null, TimeProvider? time = null)
    {
        var ring = new RankRing(ranks, options, time);
        ring.Links.AddRange(Enumerable.Range(0, ranks).Select(_ => new ITensorLink?[ranks]));
        for (var acceptor = 0; acceptor < ranks; acceptor++)
        {
            var listener = ring.Transports[acceptor].Listen(scheme == "unix" ? $"unix:{ring._folder[$"{acceptor}"]}" : LinkPair.Endpoint(scheme, ring._folder));
            ring._listeners.Add(listener);
            for (var dialer = 0; dialer < acceptor; dialer++)
            {
                var identity = new LinkIdentity("toy@1/0", 1, new ShardPlace(0, dialer), new ShardPlace(0, acceptor), LinkPurpose.Reduction);
                var accepting = listener.AcceptAsync(identity);
                ring.Links[dialer][acceptor] = await ring.Transports[dialer].ConnectAsync(listener.Endpoint, identity);
                ring.Links[acceptor][dialer] = await accepting;
            }
        }

        for (var rank = 0; rank < ranks; rank++) ring.Reducers.Add(new(rank, ring.Links[rank], format, TimeProvider.System));
        return ring;
    }

    /// <summary>Runs every rank on its own thread.</summary>
    public Task[] Run(Action<int, LinkRankReducer> rank) =>
        [.. Reducers.Select((reducer, r) => TensorLinkTests.Run(() => rank(r, reducer)))];

    public async ValueTask DisposeAsync()
    {
        Reducers.ForEach(reducer => reducer.Dispose());
        foreach (var listener in _listeners) await listener.DisposeAsync();
        _folder.Dispose();
    }
}
