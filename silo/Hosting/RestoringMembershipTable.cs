using Orleans;
using Orleans.Runtime;

namespace Granary.Silo.Hosting;

/// <summary>A membership table that may be lost: every silo remembers what it read last, and writes back what is gone.</summary>
/// <remarks>
/// Without it a cluster that lost its table goes on and is none any more: nobody can be given up, taken in or leave, and those who come make a cluster of their own.
/// In a sound table versions and statuses never go back, and no member goes that is not dead for days; anything else is a loss. Silos restore side by side, and agree: of a row
/// the later status stays, and a version is written by one of them. A silo that joins in between is a member as all others.
/// </remarks>
internal sealed partial class RestoringMembershipTable(IMembershipTable table, ILogger<RestoringMembershipTable> logger) : IMembershipTable
{
    /// <summary>Writings that change nothing, one after the other, after which the table takes none.</summary>
    private const int MaxVain = 100;

    private volatile MembershipTableData? _known;

    /// <summary>Puts it around the table that a clustering provider has added.</summary>
    public static void AddTo(IServiceCollection services)
    {
        if (services.LastOrDefault(service => service.ServiceType == typeof(IMembershipTable)) is not { } found) return;
        services.Remove(found);
        services.AddSingleton<IMembershipTable>(provider => new RestoringMembershipTable(
            (IMembershipTable)(found.ImplementationFactory?.Invoke(provider) ?? ActivatorUtilities.CreateInstance(provider, found.ImplementationType!)),
            provider.GetRequiredService<ILogger<RestoringMembershipTable>>()));
    }

    public async Task<MembershipTableData> ReadAll()
    {
        var data = await table.ReadAll();
        if (_known is { } known && IsLost(known, data)) data = await RestoreAsync(known, data);
        return _known = data;
    }

    public Task InitializeMembershipTable(bool tryInitTableVersion) => table.InitializeMembershipTable(tryInitTableVersion);

    public Task DeleteMembershipTableEntries(string clusterId)
    {
        _known = null;
        return table.DeleteMembershipTableEntries(clusterId);
    }

    public Task CleanupDefunctSiloEntries(DateTimeOffset beforeDate) => table.CleanupDefunctSiloEntries(beforeDate);

    public Task<MembershipTableData> ReadRow(SiloAddress key) => table.ReadRow(key);

    public Task<bool> InsertRow(MembershipEntry entry, TableVersion tableVersion) => table.InsertRow(entry, tableVersion);

    public Task<bool> UpdateRow(MembershipEntry entry, string etag, TableVersion tableVersion) => table.UpdateRow(entry, etag, tableVersion);

    public Task UpdateIAmAlive(MembershipEntry entry) => table.UpdateIAmAlive(entry);

    private static bool IsLost(MembershipTableData known, MembershipTableData data) =>
        data.Version.Version < known.Version.Version
        || known.Members.Any(member => data.TryGet(member.Item1.SiloAddress) is { } now ? now.Item1.Status < member.Item1.Status : member.Item1.Status == SiloStatus.Active);

    /// <returns>The table with every row that was known, of a version above the known one: who has read that takes no lower one.</returns>
    private async Task<MembershipTableData> RestoreAsync(MembershipTableData known, MembershipTableData data)
    {
        LogLost(known.Version.Version, known.Members.Count, data.Version.Version, data.Members.Count);
        // A table without a version takes no rows. It connects anew for it, which happens once for each loss.
        if (data.Version.Version == 0) await table.InitializeMembershipTable(true);
        for (var (vain, last) = (0, -1); ; last = data.Version.Version)
        {
            data = await table.ReadAll();
            vain = data.Version.Version == last ? vain + 1 : 0;
            if (vain > MaxVain) throw new OrleansException($"The membership table was lost and cannot be restored: it stays at version {last} after {MaxVain} writings.");
            var next = data.Version.Next();
            if (known.Members.FirstOrDefault(member => data.TryGet(member.Item1.SiloAddress) is not { } now || now.Item1.Status < member.Item1.Status) is { } behind)
            {
                // Where it fails somebody else has written a version: that is progress too.
                await (data.TryGet(behind.Item1.SiloAddress) is { } row ? table.UpdateRow(behind.Item1, row.Item2, next) : table.InsertRow(behind.Item1, next));
            }
            else if (data.Version.Version <= known.Version.Version && data.Members.Count > 0)
            {
                await table.UpdateRow(data.Members[0].Item1, data.Members[0].Item2, next);
            }
            else
            {
                LogRestored(data.Version.Version, data.Members.Count);
                return data;
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The membership table was lost: version {Known} with {KnownMembers} members was known, version {Version} with {Members} is there. It is restored.")]
    private partial void LogLost(int known, int knownMembers, int version, int members);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The membership table is restored, version {Version} with {Members} members.")]
    private partial void LogRestored(int version, int members);
}
