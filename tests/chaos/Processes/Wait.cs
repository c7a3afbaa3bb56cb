using System.Net;
using System.Net.Sockets;

namespace Granary.Tests.Chaos.Processes;

/// <summary>Waits for what other processes do: they raise no event here, so they are asked again and again.</summary>
internal static class Wait
{
    /// <summary>More than anything takes on a slow machine.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);

    /// <exception cref="TimeoutException">It did not come about; the message tells what.</exception>
    public static async Task UntilAsync(Func<Task<bool>> isSo, string what)
    {
        using var limit = new CancellationTokenSource(Limit);
        while (!await isSo())
        {
            if (limit.IsCancellationRequested) throw new TimeoutException($"Not within {Limit}: {what}.");
            await Task.Delay(Period);
        }
    }

    /// <summary>Ports of loopback that nothing listens on, all different.</summary>
    public static int[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToArray();
        foreach (var listener in listeners) listener.Start();
        var ports = listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port).ToArray();
        foreach (var listener in listeners) listener.Dispose();
        return ports;
    }
}
