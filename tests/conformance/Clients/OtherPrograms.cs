using System.Diagnostics;

namespace Granary.Tests.Conformance.Clients;

/// <summary>Programs of others that tests start.</summary>
internal static class OtherPrograms
{
    private static readonly TimeSpan Bound = TimeSpan.FromMinutes(4);

    /// <summary>Where everything must run: nothing is skipped.</summary>
    public static bool NothingIsSkipped { get; } = Environment.GetEnvironmentVariable("CI") == "true";

    /// <summary>Null where all are on the path.</summary>
    public static string? WhyMissing(params string[] names)
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        var missing = names.Where(name => !folders.Any(folder => File.Exists(Path.Combine(folder, name)))).ToArray();
        return missing.Length == 0 ? null : $"not on the path: {string.Join(", ", missing)}";
    }

    public static async Task<ProgramResult> RunAsync(
        string name, IEnumerable<string> arguments, string? folder = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(name, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        if (folder is not null) start.WorkingDirectory = folder;
        foreach (var (key, value) in environment ?? new Dictionary<string, string>()) start.Environment[key] = value;
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{name} did not start.");
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        using var bound = new CancellationTokenSource(Bound);
        try
        {
            await process.WaitForExitAsync(bound.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
        }

        await process.WaitForExitAsync();
        return new(process.ExitCode, await output, await errors);
    }
}

/// <summary>What a program left behind.</summary>
internal sealed record ProgramResult(int ExitCode, string Output, string Errors)
{
    public string Tail => (Output + Errors) is { Length: > 4000 } long_ ? long_[^4000..] : Output + Errors;
}
