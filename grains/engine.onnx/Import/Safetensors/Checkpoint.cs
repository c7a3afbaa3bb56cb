using System.Text.Json;

namespace Granary.Engine.Onnx.Import.Safetensors;

/// <summary>A tensor of a checkpoint: rows of a matrix, or a vector, readable as float32.</summary>
internal sealed class CheckpointTensor(SafetensorsFile file, SafetensorsEntry entry)
{
    private readonly int _elementBytes = SafetensorsTypes.Bits(entry.Type)!.Value / 8;

    public string Name => entry.Name;

    public string Type => entry.Type;

    public string File => file.Name;

    public long[] Shape => entry.Shape;

    public long ElementCount => Shape.Aggregate(1L, (product, dimension) => product * dimension);

    /// <summary>Reads elements from <paramref name="first"/> on, in row-major order.</summary>
    public void Read(long first, Span<float> destination) =>
        FloatConversion.ToSingle(entry.Type, file.Slice(entry, first * _elementBytes, checked(destination.Length * _elementBytes)), destination);
}

/// <summary>Tensors of a model folder, from one safetensors file or from those files an index names that hold something wanted.</summary>
internal sealed class Checkpoint : IDisposable
{
    public const string SingleFileName = "model.safetensors";
    public const string IndexFileName = "model.safetensors.index.json";
    private const int MaxShards = 4096;

    private readonly List<SafetensorsFile> _files = [];
    private readonly Dictionary<string, CheckpointTensor> _tensors = new(StringComparer.Ordinal);

    private Checkpoint()
    {
    }

    /// <summary>Tensors of the open files.</summary>
    public IReadOnlyDictionary<string, CheckpointTensor> Tensors => _tensors;

    /// <summary>Names of all tensors of the folder, those of files that are not open included.</summary>
    public IReadOnlySet<string> Names { get; private set; } = new HashSet<string>();

    /// <summary>Names of the files that hold a folder's weights.</summary>
    /// <param name="wanted">Tensors whose files are asked for; null = all.</param>
    /// <exception cref="ModelImportException">There is neither file nor index, or the index is refused.</exception>
    public static IReadOnlyList<string> FileNames(SourceFolder folder, Predicate<string>? wanted = null) =>
        folder.Exists(SingleFileName) ? [SingleFileName] : FileNames(ReadIndex(folder), wanted);

    /// <param name="wanted">Tensors whose files are opened, and need to exist; null = all.</param>
    /// <exception cref="ModelImportException">A file, its header or the index is refused.</exception>
    public static Checkpoint Open(SourceFolder folder, Predicate<string>? wanted = null)
    {
        var checkpoint = new Checkpoint();
        try
        {
            var index = folder.Exists(SingleFileName) ? null : ReadIndex(folder);
            var names = index is null ? [SingleFileName] : FileNames(index, wanted);
            foreach (var name in names) checkpoint.Add(SafetensorsFile.Open(folder.Path(name)), name, index);
            foreach (var (tensor, shard) in index ?? [])
            {
                if (names.Contains(shard) && !checkpoint._tensors.ContainsKey(tensor)) throw new ModelImportException($"{IndexFileName}: tensor {tensor} is not in {shard}.");
            }

            checkpoint.Names = (index?.Keys ?? checkpoint._tensors.Keys.AsEnumerable()).ToHashSet(StringComparer.Ordinal);
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        foreach (var file in _files) file.Dispose();
    }

    private void Add(SafetensorsFile file, string name, Dictionary<string, string>? index)
    {
        _files.Add(file);
        foreach (var entry in file.Entries)
        {
            if (index is not null && (!index.TryGetValue(entry.Name, out var shard) || shard != name))
                throw new ModelImportException($"{name}: tensor {entry.Name} is not listed for this file in {IndexFileName}.");
            if (!_tensors.TryAdd(entry.Name, new CheckpointTensor(file, entry)))
                throw new ModelImportException($"{name}: tensor {entry.Name} is in another file too.");
        }
    }

    private static IReadOnlyList<string> FileNames(Dictionary<string, string> index, Predicate<string>? wanted) =>
        [.. index.Where(entry => wanted is null || wanted(entry.Key)).Select(entry => entry.Value).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    private static Dictionary<string, string> ReadIndex(SourceFolder folder)
    {
        if (!folder.Exists(IndexFileName)) throw new ModelImportException($"The folder has neither {SingleFileName} nor {IndexFileName}.");
        using var document = folder.ReadJson(IndexFileName);
        if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("weight_map", out var map) || map.ValueKind != JsonValueKind.Object)
            throw new ModelImportException($"{IndexFileName}: weight_map is missing or not an object.");

        var index = new Dictionary<string, string>(StringComparer.Ordinal);
        var shards = new HashSet<string>(StringComparer.Ordinal);
        foreach (var property in map.EnumerateObject())
        {
            var shard = property.Value.ValueKind == JsonValueKind.String ? property.Value.GetString()! : "";
            if (!IsPlainName(shard)) throw new ModelImportException($"{IndexFileName}: tensor {property.Name} lies in '{shard}', which is not the plain name of a .safetensors file in this folder.");
            if (shards.Add(shard) && shards.Count > MaxShards) throw new ModelImportException($"{IndexFileName}: names more than {MaxShards} files.");
            index.Add(property.Name, shard);
        }

        if (index.Count == 0) throw new ModelImportException($"{IndexFileName}: weight_map is empty.");
        return index;
    }

    private static bool IsPlainName(string name) =>
        name.EndsWith(".safetensors", StringComparison.Ordinal) && name.Length <= 255 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');
}
