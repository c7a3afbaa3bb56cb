using System.Diagnostics;

namespace Granary.Tests.Chaos.Processes;

/// <summary>What is to be done where this process ends before it could clear up, however it ends: a shell that waits for it knows by the end of a pipe.</summary>
internal sealed class LastWill(string command) : IAsyncDisposable
{
    private readonly Process _shell = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", $"read _ || {command}"]) { RedirectStandardInput = true })!;

    /// <summary>It is not needed any more.</summary>
    public async ValueTask DisposeAsync()
    {
        await _shell.StandardInput.WriteLineAsync();
        await _shell.StandardInput.FlushAsync();
        await _shell.WaitForExitAsync();
        _shell.Dispose();
    }
}
