using System.Diagnostics;
using System.Text.Json;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>Another process of this program.</summary>
internal sealed class Child : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly Process _process;
    private readonly string _role;

    private Child(Process process, string role) => (_process, _role) = (process, role);

    public static Child Start(string role, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true, // Errors go where this process' own go.
        };
        foreach (var argument in (string[])[typeof(Child).Assembly.Location, role, .. arguments]) start.ArgumentList.Add(argument);
        foreach (var (name, value) in environment ?? new Dictionary<string, string>()) start.Environment[name] = value;
        return new(Process.Start(start)!, role);
    }

    public void Order(string line) => _process.StandardInput.WriteLine(line);

    /// <summary>What follows a word at the beginning of the next line; other lines are not expected.</summary>
    public async Task<string> ExpectAsync(string word)
    {
        var line = await _process.StandardOutput.ReadLineAsync(new CancellationTokenSource(Patience).Token);
        return line?.StartsWith(word, StringComparison.Ordinal) == true
            ? line[word.Length..].Trim()
            : throw new InvalidOperationException($"{_role} said '{line}'; expected was '{word}'.");
    }

    public async Task<ProcessMark> ExpectMarkAsync(string word) => JsonSerializer.Deserialize<ProcessMark>(await ExpectAsync(word))!;

    public async Task EndAsync()
    {
        _process.StandardInput.Close();
        await _process.WaitForExitAsync(new CancellationTokenSource(Patience).Token);
        if (_process.ExitCode != 0) throw new InvalidOperationException($"{_role} ended with {_process.ExitCode}.");
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited) _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }
}
