using Granary.Engine.Onnx.Import.Storage;

namespace Granary.Engine.Onnx.Import;

/// <summary>Keeps imported models in one folder, each under its fingerprint: an import happens once, and again when the source changes.</summary>
/// <remarks>Several processes may share a cache: one imports, the others wait for it. What a killed import left is removed by the next.</remarks>
public sealed class ModelCache(string root)
{
    private const int FingerprintDigits = 16;
    private const int MaxNameLength = 64;

    /// <summary>Where models are kept.</summary>
    public string Root { get; } = Path.GetFullPath(root);

    /// <summary>The cache of this user: <c>$XDG_CACHE_HOME/granary/models</c>, or <c>~/.cache/granary/models</c>.</summary>
    public static string DefaultRoot
    {
        get
        {
            var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
            if (string.IsNullOrEmpty(cache) || !Path.IsPathRooted(cache)) cache = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
            return Path.Combine(cache, "granary", "models");
        }
    }

    /// <summary>The imported form of a Hugging Face folder, imported now if it is not there yet.</summary>
    /// <exception cref="ModelImportException">The source is refused.</exception>
    /// <exception cref="IOException">The cache cannot be written.</exception>
    public ImportedModel GetOrImport(string sourceDirectory, ImportOptions options, IProgress<ImportProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        var source = new SourceFolder(sourceDirectory);
        options = SliceCheck.Checked(source, options);
        var fingerprint = SourceFingerprint.Compute(source, options);
        var directory = Path.Combine(Root, $"{Label(source.Root)}-{fingerprint[..FingerprintDigits]}");
        if (TryLoad(directory, fingerprint) is { } present) return present;

        Directory.CreateDirectory(Root);
        using var held = FolderLock.Acquire(directory, cancellationToken);
        return TryLoad(directory, fingerprint)
            ?? new ImportedModel(directory, ModelImporter.ImportLocked(source, directory, fingerprint, options, progress, cancellationToken));
    }

    /// <summary>A damaged or foreign folder under the right name counts as absent: importing again replaces it.</summary>
    private static ImportedModel? TryLoad(string directory, string fingerprint)
    {
        if (!File.Exists(Path.Combine(directory, ModelDescription.FileName))) return null;
        try
        {
            var description = ModelDescription.Load(directory);
            return description.Fingerprint == fingerprint ? new ImportedModel(directory, description) : null;
        }
        catch (ModelImportException)
        {
            return null;
        }
    }

    /// <summary>The source folder's name, for people who look into the cache.</summary>
    private static string Label(string directory)
    {
        var name = string.Concat(Path.GetFileName(directory).Where(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')).TrimStart('.');
        return name.Length == 0 ? "model" : name[..Math.Min(MaxNameLength, name.Length)];
    }
}
