using System.Collections.Frozen;
using Granary.Client;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
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

    /// <summary>Imports one shard's part of the model, if it has not been: only what the shard holds is read and written.</summary>
    /// <param name="progress">Called from the importing thread.</param>
    /// <exception cref="ModelImportException">No such model, its files are at fault, or they are not its source.</exception>
    public Task<ImportedModel> ImportPartAsync(string name, ShardSlice slice, IProgress<ImportProgress> progress, CancellationToken cancellationToken)
    {
        var entry = Find(name);
        return Task.Run(() => entry.ImportPart(slice, progress, cancellationToken), cancellationToken);
    }

    /// <summary>The model's sizes, read without its weights.</summary>
    /// <exception cref="ModelImportException">No such model, or its files are at fault.</exception>
    public ModelShape ReadShape(string name) => Find(name).ReadShape();

    /// <summary>Where the files are that text is read with.</summary>
    /// <exception cref="ModelImportException">No such model, or its files are at fault.</exception>
    public async Task<string> GetTextDirectoryAsync(string name) => (await Find(name).Described.Value).Directory;

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
        private readonly ModelSource _source;
        private readonly GranaryOptions _options;
        private TextModel? _opened;

        public Entry(ModelSource source, GranaryOptions options, ImportProgressLog progress)
        {
            (_source, _options) = (source, options);
            Imported = new(() => Task.Run(() => Import(progress)));
            // A model that is served in parts may be larger than this machine: nothing is imported only to be asked what it is.
            Described = new(() => options.IsWhole || IsImported ? Imported.Value : Task.Run(() => new ImportedModel(source.Directory, ModelImporter.Describe(source.Directory, Whole))));
            Served = new(async () => Read(source, options, await Described.Value));
        }

        /// <summary>All of it, as it is executed.</summary>
        public Lazy<Task<ImportedModel>> Imported { get; }

        /// <summary>What it is, and where its text files are.</summary>
        public Lazy<Task<ImportedModel>> Described { get; }

        public Lazy<Task<TextModel>> Served { get; }

        public TextModel? Opened { get => Volatile.Read(ref _opened); set => Volatile.Write(ref _opened, value); }

        private bool IsImported => File.Exists(Path.Combine(_source.Directory, ModelDescription.FileName));

        private ImportOptions Whole => new() { Weights = _options.Quantize, ContextLength = _options.ContextLength, Target = _options.Device.Target };

        private ModelCache Cache => new(string.IsNullOrWhiteSpace(_options.CacheDirectory) ? ModelCache.DefaultRoot : _options.CacheDirectory);

        public ModelShape ReadShape()
        {
            var shape = ModelShapes.Read(_source.Directory, Whole);
            return _options.ContextLength == 0 ? shape : shape with { ContextLength = Math.Min(shape.ContextLength, _options.ContextLength) };
        }

        public ImportedModel ImportPart(ShardSlice slice, IProgress<ImportProgress> progress, CancellationToken cancellationToken)
        {
            if (IsImported) throw new ModelImportException($"Model '{_source.Name}' was imported whole; parts are made of its Hugging Face folder.");
            return Cache.GetOrImport(_source.Directory, Whole with { Slice = slice }, progress, cancellationToken);
        }

        private ImportedModel Import(ImportProgressLog progress)
        {
            // What was imported before is served as it is.
            if (IsImported)
            {
                var description = ModelDescription.Load(_source.Directory);
                if (description.Target == Whole.Target) return new ImportedModel(_source.Directory, description);
                throw new ModelImportException(
                    $"Model '{_source.Name}' was imported for {description.Target}; Granary:Device:Provider '{_options.Device.Provider}' needs it for {Whole.Target}. Import it again with --target, or serve its Hugging Face folder.");
            }

            using var report = progress.Begin(_source.Name);
            return Cache.GetOrImport(_source.Directory, Whole, report, CancellationToken.None);
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
                    // The imported folder's own file; a source that is served in parts has none.
                    Created = new DateTimeOffset(File.GetLastWriteTimeUtc(
                        new[] { ModelDescription.FileName, "config.json" }.Select(file => Path.Combine(imported.Directory, file)).First(File.Exists))),
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
