using System.Collections.Frozen;
using Granary.Client;
using Granary.Engine.Onnx.Import;
using Granary.GrainInterfaces.Models;
using Granary.Silo.Hosting;
using Granary.Text.Templates;
using Granary.Text.Tokenization;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Serving;

/// <summary>The models this silo serves, by name, and where their files are. Files are imported and read once, when first asked for.</summary>
/// <remarks>
/// A source is a Hugging Face folder, which is imported into the cache on first use, or a folder that was imported before.
/// A failed import stays failed for the catalog's life: the silo ends on it.
/// </remarks>
internal sealed class ModelCatalog
{
    public const string DefaultModel = "tiny-assistant";

    private readonly FrozenDictionary<string, Entry> _entries;

    public ModelCatalog(IOptions<GranaryOptions> options, ImportProgressLog progress)
    {
        var settings = options.Value;
        IEnumerable<string> models = settings.Models.Count == 0 ? [DefaultModel] : settings.Models;
        var entries = new Dictionary<string, Entry>(StringComparer.Ordinal);
        foreach (var source in models.Select(ModelSource.Parse))
        {
            if (!entries.TryAdd(source.Name, new Entry(source, settings, progress)))
                throw new ModelImportException($"Two models are called '{source.Name}'; name one of them otherwise with NAME=FOLDER.");
        }

        _entries = entries.ToFrozenDictionary(StringComparer.Ordinal);
        Names = [.. entries.Keys];
    }

    /// <summary>In the order they were configured.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>The model's imported files.</summary>
    /// <exception cref="ModelImportException">No such model, or its files are at fault.</exception>
    public Task<ImportedModel> GetImportedAsync(string name) => Find(name).Imported.Value;

    /// <summary>The model's text side.</summary>
    /// <exception cref="ModelImportException">No such model, or its files are at fault.</exception>
    public Task<TextModel> GetServedAsync(string name) => Find(name).Served.Value;

    /// <summary>Opens the model to requests, within the context that its replicas have room for.</summary>
    public void Open(TextModel model, int replicaContext) =>
        Find(model.Name).Opened = model with { Card = model.Card with { ContextLength = Math.Min(model.ContextLength, replicaContext) } };

    /// <summary>The model's text side once it takes requests; null for an unknown name and while it is being deployed.</summary>
    public TextModel? FindOpen(string name) => _entries.GetValueOrDefault(name)?.Opened;

    public bool Contains(string name) => _entries.ContainsKey(name);

    private Entry Find(string name) =>
        _entries.TryGetValue(name, out var entry)
            ? entry
            : throw new ModelImportException($"Model '{name}' is not served here; served are: {string.Join(", ", Names)}.");

    private sealed class Entry
    {
        private TextModel? _opened;

        public Entry(ModelSource source, GranaryOptions options, ImportProgressLog progress)
        {
            Imported = new(() => Task.Run(() => Import(source, options, progress)));
            Served = new(async () => Read(source, options, await Imported.Value));
        }

        public Lazy<Task<ImportedModel>> Imported { get; }

        public Lazy<Task<TextModel>> Served { get; }

        public TextModel? Opened { get => Volatile.Read(ref _opened); set => Volatile.Write(ref _opened, value); }

        private static ImportedModel Import(ModelSource source, GranaryOptions options, ImportProgressLog progress)
        {
            // What was imported before is served as it is.
            if (File.Exists(Path.Combine(source.Directory, ModelDescription.FileName)))
                return new ImportedModel(source.Directory, ModelDescription.Load(source.Directory));
            var cache = new ModelCache(string.IsNullOrWhiteSpace(options.CacheDirectory) ? ModelCache.DefaultRoot : options.CacheDirectory);
            using var report = progress.Begin(source.Name);
            return cache.GetOrImport(
                source.Directory, new ImportOptions { Weights = options.Quantize, ContextLength = options.ContextLength }, report, CancellationToken.None);
        }

        private static TextModel Read(ModelSource source, GranaryOptions options, ImportedModel imported)
        {
            var description = imported.Description;
            if (options.ContextLength > description.ContextLength)
            {
                throw new ModelImportException(
                    $"Granary:ContextLength is {options.ContextLength}; model '{source.Name}' was made for at most {description.ContextLength} tokens.");
            }

            return new TextModel
            {
                Card = new ModelCard
                {
                    Name = source.Name,
                    Fingerprint = description.Fingerprint,
                    ContextLength = options.ContextLength == 0 ? description.ContextLength : options.ContextLength,
                    VocabularySize = description.VocabularySize,
                    HiddenSize = description.HiddenSize,
                    Created = new DateTimeOffset(File.GetLastWriteTimeUtc(Path.Combine(imported.Directory, ModelDescription.FileName))),
                    Defaults = new(
                        description.Defaults.Temperature, description.Defaults.TopK, description.Defaults.TopP, description.Defaults.MinP,
                        description.Defaults.RepetitionPenalty),
                },
                Tokenizer = TextTokenizer.Load(imported.Directory),
                Template = ChatTemplate.Load(imported.Directory),
            };
        }
    }
}
