using System.Net;
using Granary.Silo.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.Runtime;

namespace Granary.Tests.Conformance.Storage;

/// <summary>The list of members comes back where it was lost, whoever finds out first.</summary>
public sealed class RestoringMembershipTableTests
{
    private readonly MemoryTable _table = new();

    [Fact]
    public async Task Flushed_EveryRowIsBack_AndNoVersionIsTakenTwice()
    {
        var silo = Of(_table);
        await JoinAsync(silo, 1, 2, 3);
        await SetAsync(silo, 3, SiloStatus.Dead);
        var before = await silo.ReadAll();
        _table.Flush();

        var after = await silo.ReadAll();

        Assert.Equal(Rows(before), Rows(after));
        Assert.True(after.Version.Version > before.Version.Version, $"{after.Version.Version} after {before.Version.Version}");
        Assert.Equal(after.Version.Version, (await silo.ReadAll()).Version.Version);
    }

    /// <summary>Each knows another part of the past: of a silo the later status stays.</summary>
    [Fact]
    public async Task FlushedUnderMany_AllAgree()
    {
        var silos = Enumerable.Range(0, 4).Select(_ => Of(_table)).ToArray();
        await JoinAsync(silos[0], 1, 2, 3);
        await silos[1].ReadAll();
        await SetAsync(silos[0], 2, SiloStatus.Dead);
        await silos[2].ReadAll();
        await JoinAsync(silos[0], 4);
        await silos[0].ReadAll();
        _table.Flush();
        await JoinAsync(silos[3], 5); // It never saw the others.

        await Task.WhenAll(silos.Select(silo => silo.ReadAll()));
        var all = await Task.WhenAll(silos.Select(silo => silo.ReadAll()));

        Assert.All(all, data => Assert.Equal(["1 Active", "2 Dead", "3 Active", "4 Active", "5 Active"], Rows(data)));
        Assert.Single(all.Select(data => data.Version.Version).Distinct());
    }

    /// <summary>The dead are forgotten after some days, which is no loss.</summary>
    [Fact]
    public async Task DeadForgotten_NothingIsWritten()
    {
        var silo = Of(_table);
        await JoinAsync(silo, 1, 2);
        await SetAsync(silo, 2, SiloStatus.Dead);
        var before = await silo.ReadAll();
        _table.Remove(2);

        var after = await silo.ReadAll();

        Assert.Equal(["1 Active"], Rows(after));
        Assert.Equal(before.Version.Version, after.Version.Version);
    }

    [Fact]
    public async Task TableThatTakesNothing_IsTold()
    {
        var silo = Of(_table);
        await JoinAsync(silo, 1);
        await silo.ReadAll();
        _table.Flush();
        _table.IsReadOnly = true;

        var exception = await Assert.ThrowsAsync<OrleansException>(silo.ReadAll);

        Assert.Contains("cannot be restored", exception.Message, StringComparison.Ordinal);
    }

    private static RestoringMembershipTable Of(MemoryTable table) => new(table, NullLogger<RestoringMembershipTable>.Instance);

    private static async Task JoinAsync(RestoringMembershipTable table, params int[] silos)
    {
        await table.InitializeMembershipTable(true);
        foreach (var silo in silos) Assert.True(await table.InsertRow(Entry(silo, SiloStatus.Active), (await table.ReadAll()).Version.Next()));
    }

    private static async Task SetAsync(RestoringMembershipTable table, int silo, SiloStatus status)
    {
        var data = await table.ReadAll();
        Assert.True(await table.UpdateRow(Entry(silo, status), data.TryGet(Address(silo))!.Item2, data.Version.Next()));
    }

    private static MembershipEntry Entry(int silo, SiloStatus status) => new() { SiloAddress = Address(silo), Status = status, SiloName = $"{silo}", HostName = "host" };

    private static SiloAddress Address(int silo) => SiloAddress.New(IPAddress.Loopback, 11_111, silo);

    private static string[] Rows(MembershipTableData data) => [.. data.Members.Select(row => $"{row.Item1.SiloName} {row.Item1.Status}").Order(StringComparer.Ordinal)];

    /// <summary>As Redis keeps it: without a version it takes no row, and each row comes with the next version.</summary>
    private sealed class MemoryTable : IMembershipTable
    {
        private readonly Lock _gate = new();
        private readonly Dictionary<SiloAddress, MembershipEntry> _rows = [];
        private int? _version;

        public bool IsReadOnly { get; set; }

        public void Flush()
        {
            lock (_gate)
            {
                _rows.Clear();
                _version = null;
            }
        }

        public void Remove(int silo) => _rows.Remove(Address(silo));

        public Task InitializeMembershipTable(bool tryInitTableVersion)
        {
            lock (_gate) _version ??= 0;
            return Task.CompletedTask;
        }

        public async Task<MembershipTableData> ReadAll()
        {
            await Task.Yield();
            lock (_gate) return new([.. _rows.Values.Select(row => Tuple.Create(row, "tag"))], new(_version ?? 0, "tag"));
        }

        public Task<bool> InsertRow(MembershipEntry entry, TableVersion tableVersion) => WriteAsync(entry, tableVersion, isNew: true);

        public Task<bool> UpdateRow(MembershipEntry entry, string etag, TableVersion tableVersion) => WriteAsync(entry, tableVersion, isNew: false);

        public Task DeleteMembershipTableEntries(string clusterId) => throw new NotSupportedException();

        public Task CleanupDefunctSiloEntries(DateTimeOffset beforeDate) => throw new NotSupportedException();

        public Task<MembershipTableData> ReadRow(SiloAddress key) => throw new NotSupportedException();

        public Task UpdateIAmAlive(MembershipEntry entry) => throw new NotSupportedException();

        private async Task<bool> WriteAsync(MembershipEntry entry, TableVersion version, bool isNew)
        {
            await Task.Yield();
            lock (_gate)
            {
                if (IsReadOnly || _version != version.Version - 1 || (isNew && _rows.ContainsKey(entry.SiloAddress))) return false;
                _version = version.Version;
                _rows[entry.SiloAddress] = entry;
                return true;
            }
        }
    }
}
