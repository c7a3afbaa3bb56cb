using System.Globalization;

namespace Granary.Sharding.Links;

/// <summary>An endpoint as written: <c>tcp://host:port</c>, <c>unix:/path</c> or <c>memory:name</c>.</summary>
/// <param name="Scheme">How bytes go.</param>
/// <param name="Name">Host, path or name.</param>
/// <param name="Port">Of TCP.</param>
internal sealed record LinkEndpoint(LinkScheme Scheme, string Name, int Port = 0)
{
    /// <exception cref="LinkException">It is none of the three forms.</exception>
    public static LinkEndpoint Parse(string endpoint)
    {
        if (endpoint.StartsWith("unix:/", StringComparison.Ordinal)) return new(LinkScheme.Unix, endpoint["unix:".Length..]);
        if (endpoint.StartsWith("memory:", StringComparison.Ordinal) && endpoint.Length > "memory:".Length) return new(LinkScheme.Memory, endpoint["memory:".Length..]);
        if (endpoint.StartsWith("tcp://", StringComparison.Ordinal)
            && endpoint.LastIndexOf(':') is var colon && colon > "tcp://".Length
            && int.TryParse(endpoint.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port <= ushort.MaxValue)
        {
            return new(LinkScheme.Tcp, endpoint["tcp://".Length..colon].Trim('[', ']'), port);
        }

        throw new LinkException(LinkFailure.Refused, $"Endpoint '{endpoint}' is none of tcp://host:port, unix:/path, memory:name.");
    }

    public override string ToString() => Scheme switch
    {
        LinkScheme.Tcp => Name.Contains(':', StringComparison.Ordinal) ? $"tcp://[{Name}]:{Port}" : $"tcp://{Name}:{Port}",
        LinkScheme.Unix => $"unix:{Name}",
        _ => $"memory:{Name}",
    };
}

internal enum LinkScheme
{
    Tcp,
    Unix,
    Memory,
}
