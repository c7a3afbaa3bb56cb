using Granary.Engine.Onnx.Graph;
using Granary.Engine.Onnx.Import.Configuration;
using Granary.Engine.Onnx.Import.Safetensors;
using Granary.Engine.Onnx.Import.Storage;
using Granary.Engine.Onnx.Import.Weights;
using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Import;

/// <summary>Makes an imported folder (graph, weights, description, tokenizer files) of a Hugging Face folder, or of one shard's part of it.</summary>
public static class ModelImporter
{
    /// <summary>Imports into <paramref name="outputDirectory"/>. Everything is checked before the first byte is written.</summary>
    /// <param name="sourceDirectory">Holds config.json and model.safetensors, or shards with model.safetensors.index.json.</param>
    /// <param name="outputDirectory">New, empty, or an imported folder, which is then replaced.</param>
    /// <param name="progress">Called from the importing thread.</param>
    /// <exception cref="ModelImportException">The source is refused, or the output holds something else.</exception>
    /// <exception cref="IOException">Writing failed; the output is as it was.</exception>
    public static ModelDescription Import(
        string sourceDirectory, string outputDirectory, ImportOptions options, IProgress<ImportProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        var source = new SourceFolder(sourceDirectory);
        var output = Path.TrimEndingDirectorySeparator(Path.GetFullPath(outputDirectory));
        CheckOutput(source, output);
        options = SliceCheck.Checked(source, options);
        Directory.CreateDirectory(Path.GetDirectoryName(output)!);
        using var held = FolderLock.Acquire(output, cancellationToken);
        CheckOutput(source, output);
        return ImportLocked(source, output, SourceFingerprint.Compute(source, options), options, progress, cancellationToken);
    }

    /// <summary>What an import would say of the model; of weights only the files' fingerprint is taken.</summary>
    /// <exception cref="ModelImportException">Configuration or names of files are refused.</exception>
    public static ModelDescription Describe(string sourceDirectory, ImportOptions options)
    {
        var source = new SourceFolder(sourceDirectory);
        options = SliceCheck.Checked(source, options);
        var config = ModelConfigurationReader.Read(source, options);
        var (eos, defaults) = GenerationConfiguration.Read(source, config.VocabularySize);
        var tensors = new DecoderTensors(config, options.Slice ?? ShardSlice.Whole(config.Shape(options)));
        return Describe(config, tensors.ParameterCount, options, SourceFingerprint.Compute(source, options), eos, defaults);
    }

    /// <summary>Imports while the caller holds the output's lock.</summary>
    /// <param name="options">With a slice that fits.</param>
    internal static ModelDescription ImportLocked(
        SourceFolder source, string output, string fingerprint, ImportOptions options, IProgress<ImportProgress>? progress, CancellationToken cancellationToken)
    {
        progress?.Report(new ImportProgress(ImportPhase.Checking, 0, 0));
        if (!Enum.IsDefined(options.Weights)) throw new ModelImportException($"Weight format {options.Weights} is unknown.");
        CheckTarget(options);
        var config = ModelConfigurationReader.Read(source, options);
        var (eos, defaults) = GenerationConfiguration.Read(source, config.VocabularySize);
        var slice = options.Slice ?? ShardSlice.Whole(config.Shape(options));
        var tensors = new DecoderTensors(config, slice);
        using var checkpoint = Checkpoint.Open(source, slice.IsWhole ? null : tensors.IsNeeded);
        var graph = DecoderGraph.Build(config, slice, new DecoderWeights(checkpoint, tensors, config, slice), options);
        var description = Describe(config, tensors.ParameterCount, options, fingerprint, eos, defaults);

        using var transaction = new FolderTransaction(output);
        CheckSpace(transaction.Temporary, graph.WeightsLength);
        var total = graph.WeightsLength;
        transaction.Write(ModelDescription.GraphFileName, graph.WriteModel);
        transaction.Write(ModelDescription.WeightsFileName, stream => graph.WriteWeights(
            new TensorSink(stream, done => progress?.Report(new ImportProgress(ImportPhase.Writing, done, total)), cancellationToken)));
        Copy(source, transaction);
        progress?.Report(new ImportProgress(ImportPhase.Committing, total, total));
        transaction.Write(ModelDescription.FileName, stream => stream.Write(description.ToJson()));
        cancellationToken.ThrowIfCancellationRequested();
        transaction.Commit();
        return description;
    }

    private static ModelDescription Describe(ModelConfiguration config, long parameterCount, ImportOptions options, string fingerprint, int[] eos, GenerationDefaults defaults) => new()
    {
        FormatVersion = ModelDescription.CurrentFormatVersion,
        Fingerprint = fingerprint,
        Architecture = config.Architecture,
        Weights = options.Weights,
        Target = options.Target,
        LayerCount = config.LayerCount,
        HiddenSize = config.HiddenSize,
        IntermediateSize = config.IntermediateSize,
        HeadCount = config.HeadCount,
        KvHeadCount = config.KvHeadCount,
        HeadSize = config.HeadSize,
        VocabularySize = config.VocabularySize,
        ContextLength = config.ContextLength,
        TiedEmbeddings = config.TiedEmbeddings,
        Slice = options.Slice,
        EosTokenIds = eos,
        ParameterCount = parameterCount,
        Defaults = defaults,
    };

    private static void Copy(SourceFolder source, FolderTransaction transaction)
    {
        foreach (var name in (string[])[ModelConfigurationReader.FileName, .. SourceFingerprint.CompanionFiles])
        {
            if (!source.Exists(name)) continue;
            using var original = File.OpenRead(source.Path(name));
            transaction.Write(name, original.CopyTo);
        }
    }

    private static void CheckTarget(ImportOptions options)
    {
        if (!Enum.IsDefined(options.Target)) throw new ModelImportException($"Target {options.Target} is unknown.");
        if (options.Target == ModelTarget.Cpu) return;
        if (options.Weights != WeightFormat.Float32) throw new ModelImportException($"Weights is {options.Weights}; a graph for {options.Target} has its own 16 bits, quantised weights are for the CPU.");
        if (options.Slice is { Ranks: > 1 } slice) throw new ModelImportException($"Slice.Ranks is {slice.Ranks}; a graph for {options.Target} has no sums over ranks, bounds 1 … 1.");
    }

    private static void CheckOutput(SourceFolder source, string output)
    {
        if (File.Exists(output)) throw new ModelImportException($"{output}: is a file, expected a folder or nothing.");
        if (string.IsNullOrEmpty(Path.GetDirectoryName(output))) throw new ModelImportException($"{output}: a root cannot be imported into.");
        if (output == source.Root || (source.Root + Path.DirectorySeparatorChar).StartsWith(output + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            throw new ModelImportException($"{output}: holds the source folder {source.Root}.");
        if (Directory.Exists(output) && Directory.EnumerateFileSystemEntries(output).Any() && !File.Exists(Path.Combine(output, ModelDescription.FileName)))
            throw new ModelImportException($"{output}: is not empty and not an imported model; nothing is overwritten.");
    }

    private static void CheckSpace(string directory, long bytes)
    {
        var free = new DriveInfo(directory).AvailableFreeSpace;
        if (free < bytes) throw new ModelImportException($"{directory}: {free} bytes are free on this drive, the weights take {bytes}.");
    }
}
