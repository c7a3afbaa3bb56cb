using System.Text.Json;

namespace Granary.Engine.Onnx.Import;

/// <summary>A Hugging Face folder to read from: files by plain name, never anything outside of it.</summary>
/// <remarks>
/// A file may be a symbolic link only if it leads back into the folder, or into the <c>blobs</c> folder of the Hugging Face
/// cache (<c>models--x--y/snapshots/revision</c> beside <c>models--x--y/blobs</c>), whose snapshots consist of such links.
/// </remarks>
internal sealed class SourceFolder
{
    private const int MaxJsonBytes = 64 << 20;
    private const int MaxJsonDepth = 32;
    private const int MaxLinks = 40;

    private readonly string _root;
    private readonly string? _blobs;

    /// <exception cref="ModelImportException">There is no such folder.</exception>
    public SourceFolder(string directory)
    {
        if (!Directory.Exists(directory)) throw new ModelImportException($"{directory}: is not a folder.");
        _root = RealPath(System.IO.Path.GetFullPath(directory));
        var snapshots = Directory.GetParent(_root);
        if (snapshots is { Name: "snapshots", Parent: { } model } && model.Name.StartsWith("models--", StringComparison.Ordinal))
            _blobs = System.IO.Path.Combine(model.FullName, "blobs");
    }

    /// <summary>The folder without links in its path.</summary>
    public string Root => _root;

    public bool Exists(string name) => File.Exists(System.IO.Path.Combine(_root, name));

    /// <summary>Where a file really lies.</summary>
    /// <exception cref="ModelImportException">The file is missing, empty, no plain file, or a link that leads elsewhere.</exception>
    public string Path(string name)
    {
        var path = System.IO.Path.Combine(_root, name);
        if (!File.Exists(path)) throw new ModelImportException($"{name}: is missing.");
        var real = RealPath(path);
        if (!IsInside(real, _root) && (_blobs is null || !IsInside(real, _blobs)))
            throw new ModelImportException($"{name}: is a link that leads out of the model's folder.");

        // Pipes and devices have no length; opening one could block for ever.
        if (new FileInfo(real).Length == 0) throw new ModelImportException($"{name}: is empty or not a plain file.");
        return real;
    }

    /// <exception cref="ModelImportException">The file is missing, too long or no JSON.</exception>
    public JsonDocument ReadJson(string name)
    {
        var path = Path(name);
        var length = new FileInfo(path).Length;
        if (length > MaxJsonBytes) throw new ModelImportException($"{name}: has {length} bytes, bound {MaxJsonBytes}.");
        try
        {
            return JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { MaxDepth = MaxJsonDepth, AllowDuplicateProperties = false });
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new ModelImportException($"{name}: cannot be read as JSON: {e.Message}", e);
        }
    }

    private static bool IsInside(string path, string folder) => path.StartsWith(folder + System.IO.Path.DirectorySeparatorChar, StringComparison.Ordinal);

    /// <summary>Follows every link of a path, component by component.</summary>
    private static string RealPath(string path)
    {
        var pending = new Stack<string>(path.Split(System.IO.Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries).Reverse());
        var real = System.IO.Path.GetPathRoot(path)!;
        if (OperatingSystem.IsWindows() && pending.Count > 0) pending.Pop();
        for (var links = 0; pending.TryPop(out var component);)
        {
            if (component == ".") continue;
            if (component == "..")
            {
                real = System.IO.Path.GetDirectoryName(real) ?? real;
                continue;
            }

            var next = System.IO.Path.Combine(real, component);
            if (new FileInfo(next).LinkTarget is not { } target)
            {
                real = next;
                continue;
            }

            if (++links > MaxLinks) throw new ModelImportException($"{System.IO.Path.GetFileName(path)}: follows more than {MaxLinks} links.");
            if (System.IO.Path.IsPathRooted(target)) real = System.IO.Path.GetPathRoot(target)!;
            foreach (var part in target.Split(System.IO.Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries).Reverse()) pending.Push(part);
        }

        return real;
    }
}
