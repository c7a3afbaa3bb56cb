using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Routing;
using Granary.Routing.Policies;

namespace Granary.Tests.Support.Replay;

/// <summary>One router: the table of the product's, and the questions that keep it up to date.</summary>
internal sealed class ReplayRouter(ReplaySettings settings, int number, ReplayClock clock, Func<ReplicaLife, NewsDesk?> find)
{
    public RoutingTable Table { get; } =
        new(settings.Routing, RoutingPolicies.Create(settings.Policy, settings.Routing, new Random(settings.Seed * 1000 + number)), clock);

    /// <summary>Whether it was lost: what comes for it then goes nowhere.</summary>
    public bool IsGone { get; set; }

    public void Adopt(IEnumerable<ReplicaDescriptor> lives)
    {
        var all = lives.ToList();
        var added = all.Where(life => !Table.Knows(life.Replica)).ToList();
        Table.Adopt(all);
        foreach (var life in added) Ask(life.Replica);
    }

    private void Ask(ReplicaLife life)
    {
        if (IsGone || !Table.Knows(life)) return;
        var (askedAt, wanted) = (clock.GetTimestamp(), Table.WantedEvent(life));
        clock.After(settings.HopSeconds, () =>
        {
            if (find(life) is { } desk) desk.Watch(wanted, news => clock.After(settings.HopSeconds, () => Take(life, news, askedAt)));
            else clock.After(settings.HopSeconds, () => Miss(life));
        });
    }

    private void Take(ReplicaLife life, ReplicaNews news, long askedAt)
    {
        if (IsGone) return;
        Table.Report(life, news, askedAt);
        Ask(life);
    }

    private void Miss(ReplicaLife life)
    {
        if (!IsGone) Table.Miss(life);
    }
}
