using System.Net.Sockets;
using System.Text;

namespace Granary.Tests.Chaos.Processes;

/// <summary>A real Redis. It writes down every change: started again, it has all it had.</summary>
internal sealed class ProcessRedis(string folder, string address, int port) : IAsyncDisposable
{
    private ChildProcess? _process;

    /// <summary>As the settings name it.</summary>
    public string Endpoint => $"{address}:{port}";

    public async Task StartAsync()
    {
        _process = ChildProcess.Start(
            Path.Combine(folder, "redis.log"),
            ["redis-server", "--port", $"{port}", "--bind", address, "--protected-mode", "no", "--dir", folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        await Wait.UntilAsync(async () => !_process.HasExited && await TryAskAsync("PING") == "+PONG", $"Redis answers at {Endpoint}");
    }

    public async Task KillAsync()
    {
        await _process!.KillAsync();
        await _process.DisposeAsync();
    }

    public void Freeze() => _process!.Freeze();

    public void Thaw() => _process!.Thaw();

    /// <summary>All it had is gone.</summary>
    public async Task FlushAsync() => Assert.Equal("+OK", await TryAskAsync("FLUSHALL"));

    public async ValueTask DisposeAsync()
    {
        if (_process is not null) await _process.DisposeAsync();
    }

    private async Task<string?> TryAskAsync(string command)
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(address, port);
            await using var stream = client.GetStream();
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"{command}\r\n"));
            using var reader = new StreamReader(stream, Encoding.ASCII);
            return await reader.ReadLineAsync();
        }
        catch (Exception exception) when (exception is SocketException or IOException)
        {
            return null;
        }
    }
}
