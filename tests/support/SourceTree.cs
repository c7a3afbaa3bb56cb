namespace Granary.Tests.Support;

/// <summary>The source tree that the running tests were built from.</summary>
public static class SourceTree
{
    public static string Root { get; } =
        Ancestors.OfTests().FirstOrDefault(directory => File.Exists(Path.Combine(directory, "Cluster.sln")))
            ?? throw new InvalidOperationException($"No Cluster.sln above {AppContext.BaseDirectory}.");
}
