using System.Xml.Linq;

namespace Granary.Tests.Architecture;

/// <summary>The source tree that the tests read.</summary>
internal static class Repository
{
    public static string Root { get; } = Find();

    /// <summary>Projects by name, with the names of the projects they refer to.</summary>
    public static IReadOnlyDictionary<string, string[]> ProjectReferences { get; } = Files("*.csproj").ToDictionary(
        path => Path.GetFileNameWithoutExtension(path),
        path => XDocument.Load(path).Descendants("ProjectReference")
            .Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value.Replace('\\', '/')))
            .ToArray());

    /// <summary>Files of the tree that are not build output, by name pattern.</summary>
    public static IEnumerable<string> Files(string pattern) =>
        Directory.EnumerateFiles(Root, pattern, SearchOption.AllDirectories).Where(IsSource).Order(StringComparer.Ordinal);

    public static string Relative(string path) => Path.GetRelativePath(Root, path).Replace('\\', '/');

    private static bool IsSource(string path) =>
        Relative(path).Split('/') is var parts && !parts.Any(part => part is "artifacts" or "bin" or "obj" or "node_modules" or ".git");

    private static string Find()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Cluster.sln"))) return directory.FullName;
        }

        throw new InvalidOperationException($"No Cluster.sln above {AppContext.BaseDirectory}.");
    }
}
