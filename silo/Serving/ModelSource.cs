using Granary.Engine.Onnx.Import;

namespace Granary.Silo.Serving;

/// <summary>A served name and the folder its files are in.</summary>
internal sealed record ModelSource(string Name, string Directory)
{
    private const int MaxNameLength = 128;

    /// <summary>Reads a model's name, a folder, or <c>NAME=FOLDER</c>. A name without a folder is one that came with the binary.</summary>
    /// <exception cref="ModelImportException">There is no such folder, or the name is not one.</exception>
    public static ModelSource Parse(string text)
    {
        if (text.Split('=', 2) is [{ Length: > 0 } name, { Length: > 0 } folder] && IsName(name)) return Create(name, folder, text);
        var embedded = Path.Combine(AppContext.BaseDirectory, "models", text);
        if (IsName(text) && System.IO.Directory.Exists(embedded)) return Create(text, embedded, text);
        var directory = Path.TrimEndingDirectorySeparator(Path.GetFullPath(text));
        return Create(Path.GetFileName(directory), directory, text);
    }

    private static ModelSource Create(string name, string directory, string text)
    {
        if (!System.IO.Directory.Exists(directory))
        {
            throw new ModelImportException(
                $"Model '{text}' is neither a folder nor a model that came with the binary; those are: {string.Join(", ", Embedded())}.");
        }

        if (!IsName(name))
        {
            throw new ModelImportException(
                $"Model name '{name}' is not 1 to {MaxNameLength} characters of letters, digits, '.', '_' and '-'; name the folder with NAME=FOLDER.");
        }

        return new(name, Path.GetFullPath(directory));
    }

    /// <remarks>No slash: a replica's id is <c>model/index</c>.</remarks>
    private static bool IsName(string text) =>
        text.Length is > 0 and <= MaxNameLength && text is not ("." or "..") && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');

    private static IEnumerable<string> Embedded()
    {
        var root = new DirectoryInfo(Path.Combine(AppContext.BaseDirectory, "models"));
        return root.Exists ? root.EnumerateDirectories().Select(d => d.Name).Order(StringComparer.Ordinal) : [];
    }
}
