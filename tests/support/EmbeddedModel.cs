namespace Granary.Tests.Support;

/// <summary>The model that comes with the silo, as it stands in the source tree.</summary>
public static class EmbeddedModel
{
    public static string Folder { get; } = Find();

    public static string TrainingFile(string name) => Path.Combine(Folder, "train", name);

    private static string Find()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Cluster.sln")))
                return Path.Combine(directory.FullName, "silo", "models", "tiny-assistant");
        }

        throw new InvalidOperationException($"No Cluster.sln above {AppContext.BaseDirectory}.");
    }
}
