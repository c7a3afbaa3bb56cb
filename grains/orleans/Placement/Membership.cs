using Orleans.Runtime;

namespace Granary.Grains.Placement;

/// <summary>Reads of the cluster's membership.</summary>
internal static class Membership
{
    /// <summary>Names of the silos that are active.</summary>
    public static IEnumerable<string> ActiveSilos(this ClusterMembershipSnapshot snapshot) =>
        snapshot.Members.Values.Where(member => member.Status == SiloStatus.Active).Select(member => member.Name);
}
