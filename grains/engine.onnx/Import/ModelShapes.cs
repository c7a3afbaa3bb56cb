using Granary.Engine.Onnx.Import.Configuration;
using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Import;

/// <summary>Reads a model's sizes without its weights: what a planner needs before anything is imported.</summary>
public static class ModelShapes
{
    /// <param name="directory">A source folder, of which only <c>config.json</c> is read, or an imported one.</param>
    /// <param name="options">How it would be imported; of an imported folder its own description counts.</param>
    /// <exception cref="ModelImportException">There is no such folder, or its configuration is refused.</exception>
    public static ModelShape Read(string directory, ImportOptions options) =>
        File.Exists(Path.Combine(directory, ModelDescription.FileName))
            ? ModelDescription.Load(directory).Shape
            : ModelConfigurationReader.Read(new SourceFolder(directory), options).Shape(options);
}
