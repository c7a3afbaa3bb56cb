using Granary.Tests.Support;
using YamlDotNet.RepresentationModel;

namespace Granary.Tests.Conformance.Deploy;

/// <summary>The files under <c>deploy/</c>.</summary>
internal static class DeployFiles
{
    public static string Folder { get; } = Path.Combine(SourceTree.Root, "deploy");

    public static IEnumerable<string> Named(string pattern) => Directory.EnumerateFiles(Folder, pattern, SearchOption.AllDirectories).Order(StringComparer.Ordinal);

    public static string Relative(string path) => Path.GetRelativePath(Folder, path).Replace('\\', '/');

    public static string PathOf(string relative) => Path.Combine(Folder, relative);

    /// <summary>All documents of a file; a duplicate key or an unknown alias is an exception.</summary>
    public static IReadOnlyList<YamlNode> Yaml(string path)
    {
        var stream = new YamlStream();
        using var reader = new StringReader(File.ReadAllText(path));
        stream.Load(reader);
        return [.. stream.Documents.Select(document => document.RootNode)];
    }

    /// <summary>Resources of the Kubernetes base, as <c>Kind/name</c>.</summary>
    public static Dictionary<string, YamlNode> Resources() =>
        Named("*.yaml").Where(path => Relative(path).StartsWith("kubernetes/base/", StringComparison.Ordinal) && Path.GetFileName(path) != "kustomization.yaml")
            .SelectMany(Yaml).ToDictionary(node => $"{node.Text("kind")}/{node.Text("metadata", "name")}");

    /// <summary>The node at a path of keys and indices; null where there is none. Merged mappings (<c>&lt;&lt;</c>) count.</summary>
    public static YamlNode? At(this YamlNode node, params string[] path)
    {
        YamlNode? at = node;
        foreach (var key in path)
        {
            at = at switch
            {
                YamlMappingNode mapping when mapping.Children.TryGetValue(key, out var value) => value,
                YamlMappingNode mapping when mapping.Children.TryGetValue("<<", out var merged) => merged.At(key),
                YamlSequenceNode sequence when int.TryParse(key, out var index) && index < sequence.Children.Count => sequence.Children[index],
                _ => null,
            };
        }

        return at;
    }

    public static string Text(this YamlNode node, params string[] path) =>
        node.At(path) is YamlScalarNode { Value: { } text } ? text : throw new InvalidDataException($"There is no text at {string.Join('.', path)}.");

    public static int Number(this YamlNode node, params string[] path) => int.Parse(node.Text(path), System.Globalization.CultureInfo.InvariantCulture);

    public static IEnumerable<YamlNode> Items(this YamlNode node, params string[] path) =>
        node.At(path) is YamlSequenceNode sequence ? sequence.Children : throw new InvalidDataException($"There is no list at {string.Join('.', path)}.");

    public static Dictionary<string, string> Map(this YamlNode node, params string[] path) =>
        node.At(path) is YamlMappingNode mapping
            ? mapping.Children.ToDictionary(entry => ((YamlScalarNode)entry.Key).Value!, entry => ((YamlScalarNode)entry.Value).Value!)
            : throw new InvalidDataException($"There is no mapping at {string.Join('.', path)}.");
}
