namespace Granary.Tests.Support;

/// <summary>The model that comes with the silo, as it stands in the source tree.</summary>
public static class EmbeddedModel
{
    public static string Folder { get; } = Path.Combine(SourceTree.Root, "silo", "models", "tiny-assistant");

    public static string TrainingFile(string name) => Path.Combine(Folder, "train", name);
}
