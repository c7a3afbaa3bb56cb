using System.Net;
using System.Net.Sockets;

namespace Granary.Silo.Hosting;

/// <summary>Finds a port on the loopback interface that nothing listens on.</summary>
internal static class FreePort
{
    /// <remarks>Another process may take the port before it is used: the silo then fails to start, and says so.</remarks>
    public static int Find()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
