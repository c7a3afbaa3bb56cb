using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Granary.Tests.Chaos.Processes;

/// <summary>A program that ends with the tests at the latest. What it says goes to a file by itself: nobody has to read along.</summary>
internal sealed partial class ChildProcess : IAsyncDisposable
{
    private const int Stop = 19;
    private const int Continue = 18;
    private const int Terminate = 15;

    private readonly Process _process;
    private readonly LastWill _will;

    private ChildProcess(Process process) => (_process, _will) = (process, new LastWill($"kill -9 {process.Id}"));

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    /// <param name="log">The file that it appends to.</param>
    /// <param name="command">The program and its arguments.</param>
    public static ChildProcess Start(string log, IEnumerable<string> command, IReadOnlyDictionary<string, string>? environment = null)
    {
        // The shell becomes the program: its id is the program's own.
        var start = new ProcessStartInfo("/bin/sh", ["-c", "log=$1; shift; exec \"$@\" >> \"$log\" 2>&1", "sh", log, .. command]);
        foreach (var (name, value) in environment ?? new Dictionary<string, string>()) start.Environment[name] = value;
        return new(Process.Start(start)!);
    }

    /// <summary><c>kill -9</c>.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>It is told to stop, and does so in its own time.</summary>
    public Task TerminateAsync(TimeSpan limit)
    {
        Send(Terminate);
        return WaitAsync(limit);
    }

    /// <exception cref="TimeoutException">It still runs.</exception>
    public Task WaitAsync(TimeSpan limit) => _process.WaitForExitAsync().WaitAsync(limit);

    /// <summary>It keeps its connections and does nothing.</summary>
    public void Freeze() => Send(Stop);

    public void Thaw() => Send(Continue);

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited) await KillAsync();
        await _will.DisposeAsync();
        _process.Dispose();
    }

    private void Send(int signal) => Assert.Equal(0, Signal(_process.Id, signal));

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);
}
