using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.Grains;
using Granary.Text.Templates;
using Granary.Text.Tokenization;

namespace Granary.Silo.Serving;

/// <summary>Tells the grains what the catalog's models are, and reads the files that clients tokenize with.</summary>
internal sealed class CatalogModelFiles(ModelCatalog catalog) : IModelFiles
{
    /// <summary>Bytes of all of a model's text files: they travel in one message.</summary>
    internal const long MaxBytes = 64L * 1024 * 1024;

    private static readonly string[] Names = ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "chat_template.jinja"];

    public Task<ModelCard?> FindCardAsync(string model, CancellationToken cancellationToken) =>
        FindAsync(model, async () => (await catalog.GetServedAsync(model)).Card, cancellationToken);

    public Task<ModelTextFiles?> FindTextFilesAsync(string model, CancellationToken cancellationToken) => FindAsync(model, async () =>
    {
        var card = (await catalog.GetServedAsync(model)).Card;
        return Read(card.Fingerprint, await catalog.GetTextDirectoryAsync(model), MaxBytes);
    }, cancellationToken);

    public Task<ModelShape?> FindShapeAsync(string model, CancellationToken cancellationToken) =>
        FindAsync(model, () => Task.FromResult(catalog.ReadShape(model)), cancellationToken);

    /// <exception cref="ModelLoadException">A file does not fit.</exception>
    internal static ModelTextFiles Read(string fingerprint, string directory, long maxBytes)
    {
        var files = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        var left = maxBytes;
        foreach (var file in Names.Select(name => new FileInfo(Path.Combine(directory, name))).Where(file => file.Exists))
        {
            if (file.Length > left) throw new ModelLoadException($"{file.Name} has {file.Length} bytes; of {maxBytes} bytes for all text files, {left} are left.");
            files[file.Name] = File.ReadAllBytes(file.FullName);
            left -= file.Length;
        }

        return new(fingerprint, files);
    }

    /// <remarks>Off the caller's scheduler, which is a grain's: files are read and parsed.</remarks>
    private async Task<T?> FindAsync<T>(string model, Func<Task<T>> find, CancellationToken cancellationToken) where T : class
    {
        if (!catalog.Contains(model)) return null;
        try
        {
            return await Task.Run(find, cancellationToken).WaitAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is ModelImportException or TokenizerException or ChatTemplateException or IOException)
        {
            throw new ModelLoadException($"Model '{model}': {exception.Message}");
        }
    }
}
