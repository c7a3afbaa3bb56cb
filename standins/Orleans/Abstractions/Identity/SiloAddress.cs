using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace Orleans.Runtime;

/// <summary>One life of one silo: its endpoint and when it started.</summary>
[Immutable]
public sealed class SiloAddress : IEquatable<SiloAddress>, IComparable<SiloAddress>
{
    private static readonly Lock GenerationLock = new();
    private static int _lastGeneration;

    private SiloAddress(IPEndPoint endpoint, int generation)
    {
        Endpoint = endpoint;
        Generation = generation;
    }

    public static SiloAddress Zero { get; } = New(IPAddress.Any, 0, 0);

    public IPEndPoint Endpoint { get; }

    public int Generation { get; }

    public bool IsClient => Generation < 0;

    public static SiloAddress New(IPEndPoint ep, int gen) => new(ep, gen);

    public static SiloAddress New(IPAddress address, int port, int generation) => new(new IPEndPoint(address, port), generation);

    /// <summary>Seconds since 2022, always greater than the last one given.</summary>
    public static int AllocateNewGeneration()
    {
        var elapsed = (int)(DateTime.UtcNow - new DateTime(2022, 1, 1, 0, 0, 0, DateTimeKind.Utc)).TotalSeconds;
        lock (GenerationLock)
        {
            return _lastGeneration = Math.Max(elapsed, _lastGeneration + 1);
        }
    }

    public string ToParsableString() => string.Create(CultureInfo.InvariantCulture, $"{Endpoint.Address}:{Endpoint.Port}@{Generation}");

    public static SiloAddress FromParsableString(string addr) => Parse(addr);

    public static SiloAddress Parse(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return TryParse(value, out var result) ? result : throw new FormatException("Invalid string SiloAddress: " + value);
    }

    public static bool TryParse([NotNullWhen(true)] string? value, [NotNullWhen(true)] out SiloAddress? result)
    {
        result = null;
        var at = value?.LastIndexOf('@') ?? -1;
        if (at < 0 || !int.TryParse(value.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var generation)) return false;
        var colon = value!.LastIndexOf(':', at);
        if (colon < 0 || !int.TryParse(value.AsSpan(colon + 1, at - colon - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port)) return false;
        if (!IPAddress.TryParse(value.AsSpan(0, colon), out var address)) return false;
        result = New(address, port, generation);
        return true;
    }

    public int GetConsistentHashCode()
    {
        var hash = 2166136261u;
        foreach (var c in ToParsableString()) hash = (hash ^ c) * 16777619u;
        return (int)hash;
    }

    public bool IsPredecessorOf(SiloAddress other) => Endpoint.Equals(other.Endpoint) && Generation < other.Generation;

    public bool IsSuccessorOf(SiloAddress other) => Endpoint.Equals(other.Endpoint) && Generation > other.Generation;

    public bool Equals(SiloAddress? other) => other is not null && Generation == other.Generation && Endpoint.Equals(other.Endpoint);

    public override bool Equals(object? obj) => Equals(obj as SiloAddress);

    public override int GetHashCode() => HashCode.Combine(Endpoint.Port, Generation);

    public int CompareTo(SiloAddress? other) =>
        other is null ? 1
        : Generation != other.Generation ? Generation.CompareTo(other.Generation)
        : Endpoint.Port != other.Endpoint.Port ? Endpoint.Port.CompareTo(other.Endpoint.Port)
        : string.CompareOrdinal(Endpoint.Address.ToString(), other.Endpoint.Address.ToString());

    public override string ToString() => (IsClient ? "C" : "S") + Endpoint.Address + ":" + Endpoint.Port.ToString(CultureInfo.InvariantCulture) + ":" + Generation.ToString(CultureInfo.InvariantCulture);
}

[GenerateSerializer]
public enum SiloStatus
{
    None = 0,
    Created = 1,
    Joining = 2,
    Active = 3,
    ShuttingDown = 4,
    Stopping = 5,
    Dead = 6,
}

/// <summary>Numbers the changes of the membership.</summary>
[GenerateSerializer, Immutable]
public readonly struct MembershipVersion : IComparable<MembershipVersion>, IEquatable<MembershipVersion>
{
    public MembershipVersion(long version) => Value = version;

    public static MembershipVersion MinValue => new(long.MinValue);

    [Id(0)]
    public long Value { get; init; }

    public int CompareTo(MembershipVersion other) => Value.CompareTo(other.Value);

    public bool Equals(MembershipVersion other) => Value == other.Value;

    public override bool Equals(object? obj) => obj is MembershipVersion other && Equals(other);

    public override int GetHashCode() => Value.GetHashCode();

    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);

    public static bool operator ==(MembershipVersion left, MembershipVersion right) => left.Equals(right);

    public static bool operator !=(MembershipVersion left, MembershipVersion right) => !left.Equals(right);

    public static bool operator <(MembershipVersion left, MembershipVersion right) => left.Value < right.Value;

    public static bool operator >(MembershipVersion left, MembershipVersion right) => left.Value > right.Value;

    public static bool operator <=(MembershipVersion left, MembershipVersion right) => left.Value <= right.Value;

    public static bool operator >=(MembershipVersion left, MembershipVersion right) => left.Value >= right.Value;
}
