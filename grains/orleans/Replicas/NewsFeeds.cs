using System.Runtime.CompilerServices;

namespace Granary.Grains.Replicas;

/// <summary>The feeds of this silo's replicas: each comes with its first watcher and goes with its life.</summary>
internal sealed class NewsFeeds(TimeProvider time)
{
    private readonly ConditionalWeakTable<HostedReplica, NewsFeed> _feeds = [];

    public NewsFeed Of(HostedReplica replica) => _feeds.GetValue(replica, life => new NewsFeed(life, time));
}
