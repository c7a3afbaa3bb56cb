using System.Diagnostics;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Text.Json.Nodes;
using Granary.Silo.CommandLine;
using Granary.Silo.Hosting;
using Granary.Tests.Conformance.Clients;

namespace Granary.Tests.Conformance.Deploy;

/// <summary>The script that starts a cluster on this machine: with genuine packages it serves and stops cleanly, with stand-ins it says that it cannot.</summary>
public sealed class LocalClusterTests : IDisposable
{
    private static readonly TimeSpan Bound = TimeSpan.FromMinutes(4);

    private readonly string _folder = Directory.CreateTempSubdirectory("granary-local-test-").FullName;

    /// <summary>Whether silos of several processes can meet at all.</summary>
    private static bool IsGenuine { get; } = typeof(Orleans.IGrainFactory).Assembly.GetName().Name!.StartsWith("Orleans.", StringComparison.Ordinal);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [RedisFact]
    public async Task Up_TwoSilos_ServesAndStops_OrSaysWhyNot()
    {
        var url = $"http://127.0.0.1:{FreePort.Find()}";
        using var script = Start(url, "2");
        using var bound = new CancellationTokenSource(Bound);
        var errors = script.StandardError.ReadToEndAsync(bound.Token);
        try
        {
            var redis = await script.StandardOutput.ReadLineAsync(bound.Token);
            Assert.True(redis?.StartsWith("Redis: 127.0.0.1:", StringComparison.Ordinal), redis ?? await errors);
            var ready = await script.StandardOutput.ReadLineAsync(bound.Token);
            if (IsGenuine)
            {
                Assert.True(ready?.StartsWith($"Ready: {url} ", StringComparison.Ordinal), ready ?? await errors);
                Assert.Contains("Paris", await AskAsync(url, bound.Token));
                using (var kill9 = Process.Start("kill", ["-KILL", $"{SiloOf(script, name: "silo-2")}"])) await kill9.WaitForExitAsync(bound.Token);
                Assert.Contains("Paris", await AskAsync(url, bound.Token));
                using var kill = Process.Start("kill", ["-TERM", $"{script.Id}"]);
                await script.WaitForExitAsync(bound.Token);
                Assert.Equal(0, script.ExitCode);
                Assert.Contains("silo-2 ended with 137, 1 go on; it said last:\n", await errors, StringComparison.Ordinal); // The shell may tell of it too.
            }
            else
            {
                Assert.Null(ready);
                await script.WaitForExitAsync(bound.Token);
                Assert.Equal(GranaryCommand.NoCluster, script.ExitCode);
                Assert.Equal("Redis clustering needs the genuine Microsoft.Orleans packages: this build uses the in-process stand-in, which forms no cluster of several processes.\n", await errors);
            }

            // Nothing is left: neither Redis nor files.
            using var client = new TcpClient();
            await Assert.ThrowsAsync<SocketException>(() => client.ConnectAsync("127.0.0.1", int.Parse(redis!.Split(':')[^1])));
            Assert.DoesNotContain(Directory.EnumerateDirectories(_folder), folder => Path.GetFileName(folder).StartsWith("granary-local-", StringComparison.Ordinal));
        }
        finally
        {
            if (!script.HasExited) script.Kill(entireProcessTree: true);
        }
    }

    /// <summary>Told to stop while silos start, it stops them and Redis, and leaves nothing.</summary>
    [RedisFact, SupportedOSPlatform("linux")]
    public async Task Up_StoppedWhileStarting_LeavesNothing()
    {
        // A silo that never gets ready, and writes down what it is told.
        var silo = Path.Combine(_folder, "bin", "dotnet");
        Directory.CreateDirectory(Path.GetDirectoryName(silo)!);
        await File.WriteAllTextAsync(silo, "#!/usr/bin/env bash\ntrap 'echo stopped >> \"$TMPDIR/told\"; exit 0' TERM\necho started >> \"$TMPDIR/told.started\"\nwhile :; do sleep 0.05; done\n");
        File.SetUnixFileMode(silo, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        using var script = Start($"http://127.0.0.1:{FreePort.Find()}", "3", Path.GetDirectoryName(silo));
        using var bound = new CancellationTokenSource(Bound);
        var errors = script.StandardError.ReadToEndAsync(bound.Token);
        try
        {
            var redis = await script.StandardOutput.ReadLineAsync(bound.Token);
            await Support.Poll.UntilAsync(() => Lines("told.started") == 3, "three silos are started");
            using var kill = Process.Start("kill", ["-TERM", $"{script.Id}"]);
            await script.WaitForExitAsync(bound.Token);

            Assert.Equal((0, ""), (script.ExitCode, await errors));
            Assert.Equal(3, Lines("told"));
            using var client = new TcpClient();
            await Assert.ThrowsAsync<SocketException>(() => client.ConnectAsync("127.0.0.1", int.Parse(redis!.Split(':')[^1])));
            Assert.DoesNotContain(Directory.EnumerateDirectories(_folder), folder => Path.GetFileName(folder).StartsWith("granary-local-", StringComparison.Ordinal));
        }
        finally
        {
            if (!script.HasExited) script.Kill(entireProcessTree: true);
        }

        int Lines(string name) => File.Exists(Path.Combine(_folder, name)) ? File.ReadAllLines(Path.Combine(_folder, name)).Length : 0;
    }

    [Theory]
    [InlineData("0")]
    [InlineData("17")]
    [InlineData("many")]
    public async Task Up_NoNumberOfSilos_ExitsWithTwo(string count)
    {
        var run = await OtherPrograms.RunAsync("bash", [DeployFiles.PathOf("local/up.sh"), count]);
        Assert.Equal((2, $"There are '{count}' silos; there must be 1 to 16.\n"), (run.ExitCode, run.Errors));
    }

    private Process Start(string url, string count, string? programs = null)
    {
        var start = new ProcessStartInfo("bash", [DeployFiles.PathOf("local/up.sh"), count]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["GRANARY_SILO"] = Path.Combine(AppContext.BaseDirectory, "Granary.Silo.dll");
        start.Environment["GRANARY_URL"] = url;
        start.Environment["TMPDIR"] = start.Environment["XDG_CACHE_HOME"] = _folder;
        if (programs is not null) start.Environment["PATH"] = $"{programs}:{Environment.GetEnvironmentVariable("PATH")}";
        return Process.Start(start)!;
    }

    /// <summary>The script's child that is the silo.</summary>
    private static int SiloOf(Process script, string name) => File.ReadAllText($"/proc/{script.Id}/task/{script.Id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries)
        .Select(int.Parse).Single(child => File.ReadAllText($"/proc/{child}/environ").Split('\0').Contains($"Granary__Cluster__SiloName={name}"));

    private static async Task<string> AskAsync(string url, CancellationToken cancellationToken)
    {
        using var http = new HttpClient { BaseAddress = new Uri(url), Timeout = Bound };
        var question = new JsonObject
        {
            ["model"] = "tiny-assistant",
            ["temperature"] = 0,
            ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = "What is the capital of France?" }),
        };
        var answer = await http.PostAsJsonAsync("/v1/chat/completions", question, cancellationToken);
        return await answer.Content.ReadAsStringAsync(cancellationToken);
    }
}

/// <summary>A fact about Redis; skipped with the reason where it is not installed, but never in CI.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class RedisFactAttribute : FactAttribute
{
    public RedisFactAttribute() => Skip = OtherPrograms.NothingIsSkipped ? null : OtherPrograms.WhyMissing("redis-server", "redis-cli");
}
