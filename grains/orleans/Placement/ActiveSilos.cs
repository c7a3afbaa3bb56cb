using Orleans.Runtime;

namespace Granary.Grains.Placement;

/// <summary>The silos that are active at one moment, by name, each in its latest life.</summary>
internal sealed class ActiveSilos
{
    private readonly Dictionary<string, SiloAddress> _byName = new(StringComparer.Ordinal);

    private ActiveSilos()
    {
    }

    public static ActiveSilos Of(ClusterMembershipSnapshot snapshot)
    {
        var active = new ActiveSilos();
        foreach (var member in snapshot.Members.Values.Where(member => member.Status == SiloStatus.Active))
        {
            if (active.Find(member.Name) is { } other && other.Generation > member.SiloAddress.Generation) continue;
            active._byName[member.Name] = member.SiloAddress;
        }

        return active;
    }

    public bool Contains(string name) => _byName.ContainsKey(name);

    public SiloAddress? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Whether the same silos are active in the same lives.</summary>
    public bool SetEquals(ActiveSilos other) =>
        _byName.Count == other._byName.Count && _byName.All(silo => silo.Value.Equals(other.Find(silo.Key)));
}
