using System.Collections.Immutable;
using System.Runtime.CompilerServices;

namespace Orleans.Runtime;

/// <summary>One silo in one version of the membership.</summary>
public sealed class ClusterMember : IEquatable<ClusterMember>
{
    public ClusterMember(SiloAddress siloAddress, SiloStatus status, string name)
    {
        SiloAddress = siloAddress;
        Status = status;
        Name = name;
    }

    public SiloAddress SiloAddress { get; }

    public SiloStatus Status { get; }

    public string Name { get; }

    public bool Equals(ClusterMember? other) => other is not null && SiloAddress.Equals(other.SiloAddress) && Status == other.Status && Name == other.Name;

    public override bool Equals(object? obj) => Equals(obj as ClusterMember);

    public override int GetHashCode() => SiloAddress.GetHashCode();

    public override string ToString() => $"{SiloAddress}/{Name}/{Status}";
}

/// <summary>One version of the membership.</summary>
public sealed class ClusterMembershipSnapshot
{
    public ClusterMembershipSnapshot(ImmutableDictionary<SiloAddress, ClusterMember> members, MembershipVersion version)
    {
        Members = members;
        Version = version;
    }

    public ImmutableDictionary<SiloAddress, ClusterMember> Members { get; }

    public MembershipVersion Version { get; }

    public SiloStatus GetSiloStatus(SiloAddress silo) => Members.TryGetValue(silo, out var member) ? member.Status : SiloStatus.None;
}

/// <summary>Who is in the cluster, and who joins and leaves.</summary>
public interface IClusterMembershipService
{
    ClusterMembershipSnapshot CurrentSnapshot { get; }

    IAsyncEnumerable<ClusterMembershipSnapshot> MembershipUpdates { get; }

    ValueTask Refresh(MembershipVersion minimumVersion = default, CancellationToken cancellationToken = default);

    Task<bool> TryKill(SiloAddress siloAddress);
}

public interface ISiloStatusListener
{
    void SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status);
}

/// <summary>Silo statuses as this silo knows them.</summary>
public interface ISiloStatusOracle
{
    SiloStatus CurrentStatus { get; }

    string SiloName { get; }

    SiloAddress SiloAddress { get; }

    SiloStatus GetApproximateSiloStatus(SiloAddress siloAddress);

    Dictionary<SiloAddress, SiloStatus> GetApproximateSiloStatuses(bool onlyActive = false);

    SiloAddress[] GetActiveSilos();

    bool TryGetSiloName(SiloAddress siloAddress, out string? siloName);

    bool IsFunctionalDirectory(SiloAddress siloAddress);

    bool IsDeadSilo(SiloAddress silo);

    bool SubscribeToSiloStatusEvents(ISiloStatusListener observer);

    bool UnSubscribeFromSiloStatusEvents(ISiloStatusListener observer);
}

internal sealed class ClusterMembershipView(SiloRuntime silo) : IClusterMembershipService
{
    public ClusterMembershipSnapshot CurrentSnapshot => silo.Cluster.Snapshot();

    public IAsyncEnumerable<ClusterMembershipSnapshot> MembershipUpdates => WatchAsync();

    public ValueTask Refresh(MembershipVersion minimumVersion = default, CancellationToken cancellationToken = default) => default;

    public Task<bool> TryKill(SiloAddress siloAddress)
    {
        if (silo.Cluster.SiloAt(siloAddress) is not { } other) return Task.FromResult(false);
        other.Kill();
        return Task.FromResult(true);
    }

    private async IAsyncEnumerable<ClusterMembershipSnapshot> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (!cancellationToken.IsCancellationRequested && !silo.IsGone)
        {
            var changed = silo.Cluster.Changed;
            yield return silo.Cluster.Snapshot();
            await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }
}

internal sealed class SiloStatusView : ISiloStatusOracle
{
    private readonly SiloRuntime _silo;
    private ImmutableHashSet<ISiloStatusListener> _listeners = [];

    public SiloStatusView(SiloRuntime silo)
    {
        _silo = silo;
        silo.Cluster.StatusChanged += (address, status) =>
        {
            foreach (var listener in _listeners) listener.SiloStatusChangeNotification(address, status);
        };
    }

    public SiloStatus CurrentStatus => _silo.Status;

    public string SiloName => _silo.Name;

    public SiloAddress SiloAddress => _silo.Address;

    public SiloStatus GetApproximateSiloStatus(SiloAddress siloAddress) => _silo.Cluster.Snapshot().GetSiloStatus(siloAddress);

    public Dictionary<SiloAddress, SiloStatus> GetApproximateSiloStatuses(bool onlyActive = false) =>
        _silo.Cluster.Snapshot().Members.Values.Where(member => !onlyActive || member.Status == SiloStatus.Active).ToDictionary(member => member.SiloAddress, member => member.Status);

    public SiloAddress[] GetActiveSilos() => [.. _silo.Cluster.ActiveSilos.Select(silo => silo.Address)];

    public bool TryGetSiloName(SiloAddress siloAddress, out string? siloName)
    {
        siloName = _silo.Cluster.Snapshot().Members.GetValueOrDefault(siloAddress)?.Name;
        return siloName is not null;
    }

    public bool IsFunctionalDirectory(SiloAddress siloAddress) => GetApproximateSiloStatus(siloAddress) is not (SiloStatus.Dead or SiloStatus.None);

    public bool IsDeadSilo(SiloAddress silo) => GetApproximateSiloStatus(silo) == SiloStatus.Dead;

    public bool SubscribeToSiloStatusEvents(ISiloStatusListener observer) => ImmutableInterlocked.Update(ref _listeners, set => set.Add(observer));

    public bool UnSubscribeFromSiloStatusEvents(ISiloStatusListener observer) => ImmutableInterlocked.Update(ref _listeners, set => set.Remove(observer));
}
