using System.Net;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>Keeps a gateway that asks nobody for a key from being reachable by everybody.</summary>
internal static class ListenAddresses
{
    /// <exception cref="OptionsValidationException">An address is open to the network, there are no keys, and nobody said that this is meant.</exception>
    public static void RefuseOpen(IEnumerable<string> urls, GatewayOptions gateway)
    {
        if (gateway.AllowAnonymous || gateway.ApiKeys.Count > 0 || !string.IsNullOrWhiteSpace(gateway.ApiKeysFile)) return;
        if (urls.FirstOrDefault(url => !IsLoopback(url)) is not { } open) return;
        throw new OptionsValidationException(GranaryOptions.Section, typeof(GranaryOptions),
        [
            $"The address {open} is open to the network and there are no API keys: set Granary:Gateway:ApiKeys (or ApiKeysFile), "
            + "listen on a loopback address, or set Granary:Gateway:AllowAnonymous to true.",
        ]);
    }

    private static bool IsLoopback(string url)
    {
        var address = BindingAddress.Parse(url);
        if (address.IsUnixPipe || address.IsNamedPipe || address.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)) return true;
        return IPAddress.TryParse(address.Host, out var ip) && IPAddress.IsLoopback(ip);
    }
}
