using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Granary.Silo.Hosting;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Storage;

/// <summary>A Redis of a test's own, in a folder that goes with it. It writes down every change, so that a restart brings all of it back.</summary>
internal sealed partial class RedisServer : IAsyncDisposable
{
    private const int Stop = 19;
    private const int Continue = 18;

    private readonly string _folder = Directory.CreateTempSubdirectory("granary-redis-").FullName;
    private readonly int _port = FreePort.Find();
    private Process? _process;

    private RedisServer()
    {
    }

    /// <summary>As the settings name it.</summary>
    public string Endpoint => $"127.0.0.1:{_port}";

    public static async Task<RedisServer> StartAsync()
    {
        var redis = new RedisServer();
        await redis.RunAsync();
        return redis;
    }

    public async Task RunAsync()
    {
        _process = Process.Start(new ProcessStartInfo(
            "redis-server", ["--port", $"{_port}", "--bind", "127.0.0.1", "--dir", _folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        _process.OutputDataReceived += static (_, _) => { };
        _process.BeginOutputReadLine();
        await Poll.UntilAsync(() => Answers(), $"Redis answers at {Endpoint}");
    }

    /// <summary>Ends it as a crash would.</summary>
    public async Task KillAsync()
    {
        if (_process is null) return;
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
    }

    /// <summary>It keeps its connections and answers nothing.</summary>
    public void Freeze() => Assert.Equal(0, Signal(_process!.Id, Stop));

    public void Thaw() => Assert.Equal(0, Signal(_process!.Id, Continue));

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private bool Answers()
    {
        try
        {
            using var client = new TcpClient("127.0.0.1", _port);
            var stream = client.GetStream();
            stream.ReadTimeout = 1000;
            stream.Write("PING\r\n"u8);
            var answer = new byte[7];
            stream.ReadExactly(answer);
            return answer.AsSpan().SequenceEqual("+PONG\r\n"u8);
        }
        catch (Exception exception) when (exception is SocketException or IOException)
        {
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);
}
