namespace Granary.Tests.Support;

/// <summary>The model that comes with the silo, as it stands in the source tree.</summary>
public static class EmbeddedModel
{
    public static string Folder { get; } = Path.Combine(
        Ancestors.OfTests().FirstOrDefault(directory => File.Exists(Path.Combine(directory, "Cluster.sln")))
            ?? throw new InvalidOperationException($"No Cluster.sln above {AppContext.BaseDirectory}."),
        "silo", "models", "tiny-assistant");

    public static string TrainingFile(string name) => Path.Combine(Folder, "train", name);
}
