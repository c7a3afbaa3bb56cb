using Orleans.Runtime;

namespace Orleans;

/// <summary>Where the silos of a cluster write down that they are members. The stand-in's clusters have none; programs may wrap that of a clustering provider.</summary>
public interface IMembershipTable
{
    Task InitializeMembershipTable(bool tryInitTableVersion);

    Task DeleteMembershipTableEntries(string clusterId);

    Task CleanupDefunctSiloEntries(DateTimeOffset beforeDate);

    Task<MembershipTableData> ReadRow(SiloAddress key);

    Task<MembershipTableData> ReadAll();

    Task<bool> InsertRow(MembershipEntry entry, TableVersion tableVersion);

    Task<bool> UpdateRow(MembershipEntry entry, string etag, TableVersion tableVersion);

    Task UpdateIAmAlive(MembershipEntry entry);
}

/// <summary>Grows with every change of the table.</summary>
public sealed class TableVersion
{
    public TableVersion(int version, string eTag)
    {
        Version = version;
        VersionEtag = eTag;
    }

    public int Version { get; }

    public string VersionEtag { get; }

    public TableVersion Next() => new(Version + 1, VersionEtag);
}

/// <summary>Rows with their tags, of one version.</summary>
public sealed class MembershipTableData
{
    public MembershipTableData(List<Tuple<MembershipEntry, string>> list, TableVersion version)
    {
        Members = list;
        Version = version;
    }

    public IReadOnlyList<Tuple<MembershipEntry, string>> Members { get; private set; }

    public TableVersion Version { get; private set; }

    public Tuple<MembershipEntry, string>? TryGet(SiloAddress silo) => Members.FirstOrDefault(member => member.Item1.SiloAddress.Equals(silo));
}

/// <summary>One silo's row.</summary>
public sealed class MembershipEntry
{
    public SiloAddress SiloAddress { get; set; } = default!;

    public SiloStatus Status { get; set; }

    public List<Tuple<SiloAddress, DateTime>>? SuspectTimes { get; set; }

    public int ProxyPort { get; set; }

    public string HostName { get; set; } = default!;

    public string SiloName { get; set; } = default!;

    public DateTime StartTime { get; set; }

    public DateTime IAmAliveTime { get; set; }
}
