using System.Text.Json;
using System.Text.Json.Serialization;
using Granary.Engine.Onnx.Import.Configuration;

namespace Granary.Engine.Onnx.Import;

public sealed partial record ModelDescription
{
    /// <summary>Layout that this build writes and reads.</summary>
    public const int CurrentFormatVersion = 3;

    private const int MaxFileBytes = 1 << 20;

    /// <summary>Reads and checks the description of an imported folder.</summary>
    /// <exception cref="ModelImportException">The file is missing or malformed, of another format version, a value is out of bounds, or a file of the model is missing.</exception>
    public static ModelDescription Load(string directory)
    {
        var path = Path.Combine(directory, FileName);
        try
        {
            var length = new FileInfo(path) is { Exists: true } file ? file.Length : throw new ModelImportException($"{path}: is missing; the folder is not an imported model.");
            if (length > MaxFileBytes) throw new ModelImportException($"{path}: has {length} bytes, bound {MaxFileBytes}.");
            var description = JsonSerializer.Deserialize(File.ReadAllBytes(path), ModelDescriptionJson.Default.ModelDescription)
                ?? throw new ModelImportException($"{path}: holds null.");
            description.Validate(path);
            foreach (var name in (ReadOnlySpan<string>)[GraphFileName, WeightsFileName])
            {
                if (!File.Exists(Path.Combine(directory, name))) throw new ModelImportException($"{Path.Combine(directory, name)}: is missing.");
            }

            return description;
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new ModelImportException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    internal byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, ModelDescriptionJson.Default.ModelDescription);

    private void Validate(string path)
    {
        if (FormatVersion != CurrentFormatVersion) throw new ModelImportException($"{path}: FormatVersion is {FormatVersion}, this build reads {CurrentFormatVersion}; import the model again.");
        if (Fingerprint is not { Length: 64 } || !Fingerprint.All(char.IsAsciiHexDigitLower)) throw new ModelImportException($"{path}: Fingerprint is not 64 hexadecimal digits.");
        if (string.IsNullOrEmpty(Architecture)) throw new ModelImportException($"{path}: Architecture is empty.");
        Check(nameof(LayerCount), LayerCount, ModelConfigurationReader.MaxLayers);
        Check(nameof(HiddenSize), HiddenSize, ModelConfigurationReader.MaxWidth);
        Check(nameof(IntermediateSize), IntermediateSize, ModelConfigurationReader.MaxWidth);
        Check(nameof(HeadCount), HeadCount, ModelConfigurationReader.MaxHeads);
        Check(nameof(KvHeadCount), KvHeadCount, HeadCount);
        Check(nameof(HeadSize), HeadSize, ModelConfigurationReader.MaxHeadSize);
        Check(nameof(VocabularySize), VocabularySize, ModelConfigurationReader.MaxVocabulary);
        Check(nameof(ContextLength), ContextLength, ModelConfigurationReader.MaxContext);
        Check(nameof(ParameterCount), ParameterCount, long.MaxValue);
        if (HeadCount % KvHeadCount != 0) throw new ModelImportException($"{path}: KvHeadCount {KvHeadCount} does not divide HeadCount {HeadCount}.");
        if (!Enum.IsDefined(Weights)) throw new ModelImportException($"{path}: Weights is {Weights}, not a known format.");
        if (!Enum.IsDefined(Target)) throw new ModelImportException($"{path}: Target is {Target}, not a known one.");
        if (Slice is not null) SliceCheck.Check(Slice, Shape, path);
        if (EosTokenIds is null || EosTokenIds.Any(id => id < 0 || id >= VocabularySize)) throw new ModelImportException($"{path}: EosTokenIds holds an id outside 0 … {VocabularySize - 1}.");
        if (Defaults is null) throw new ModelImportException($"{path}: Defaults is null.");

        void Check(string name, long value, long maximum)
        {
            if (value < 1 || value > maximum) throw new ModelImportException($"{path}: {name} is {value}, bounds 1 … {maximum}.");
        }
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, UseStringEnumConverter = true, IgnoreReadOnlyProperties = true, MaxDepth = 8, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(ModelDescription))]
internal sealed partial class ModelDescriptionJson : JsonSerializerContext;
