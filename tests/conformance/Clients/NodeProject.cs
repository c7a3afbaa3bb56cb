using Granary.Tests.Support;

namespace Granary.Tests.Conformance.Clients;

/// <summary>The Node project beside this file, copied under <c>artifacts</c> and with its packages installed there.</summary>
internal static class NodeProject
{
    private const string Stamp = "installed-lock.json";
    private static readonly Lazy<string?> Problem = new(() => OtherPrograms.WhyMissing("node", "npm") ?? Install());

    public static string Sources { get; } = Path.Combine(SourceTree.Root, "tests", "conformance", "Clients", "node");

    public static string Folder { get; } = Path.Combine(SourceTree.Root, "artifacts", "node-client");

    /// <summary>Null where the project can run.</summary>
    public static string? WhyNot => Problem.Value;

    private static string? Install()
    {
        Directory.CreateDirectory(Folder);
        foreach (var stale in Directory.EnumerateFiles(Folder, "*.mjs")) File.Delete(stale);
        foreach (var path in Directory.EnumerateFiles(Sources)) File.Copy(path, Path.Combine(Folder, Path.GetFileName(path)), overwrite: true);
        var (wanted, installed) = (File.ReadAllText(Path.Combine(Folder, "package-lock.json")), Path.Combine(Folder, Stamp));
        if (File.Exists(installed) && File.ReadAllText(installed) == wanted) return null;

        // Few and short tries: a machine without a network should not wait for it.
        var npm = OtherPrograms.RunAsync("npm", ["ci", "--no-progress", "--fetch-retries=1", "--fetch-timeout=60000"], Folder).GetAwaiter().GetResult();
        if (npm.ExitCode != 0) return $"npm ci ended with {npm.ExitCode}: {npm.Tail}";
        File.WriteAllText(installed, wanted);
        return null;
    }
}

/// <summary>A theory over the cases of the Node project; skipped with the reason where it cannot run, but never in CI.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NodeTheoryAttribute : TheoryAttribute
{
    public NodeTheoryAttribute() => Skip = OtherPrograms.NothingIsSkipped ? null : NodeProject.WhyNot;
}
