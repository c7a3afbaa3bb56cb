using Granary.Engine.Onnx.Graph;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Import.Storage;
using Granary.Engine.Onnx.Native;
using Microsoft.ML.OnnxRuntime;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The form of a model that loads without work: optimized, with weights laid out as this CPU's matrix kernels read them.</summary>
/// <remarks>
/// Made once by the runtime itself and mapped into memory from then on, so that loading takes milliseconds and processes share the
/// pages. It lies in <c>prepacked/KEY</c> of the imported folder; the key holds the runtime's build, the CPU's instruction sets and
/// the model's fingerprint. The folder is filled under another name and renamed, so it is whole or absent.
/// </remarks>
internal static class PrepackedModel
{
    private const string FolderName = "prepacked";

    /// <summary>Path of the prepacked graph, made now if it is not there; null where the imported folder cannot be written.</summary>
    /// <exception cref="OnnxRuntimeException">The runtime refuses the graph, or could not write.</exception>
    public static string? Ensure(string modelDirectory, ModelDescription model)
    {
        var parent = Path.Combine(Path.GetFullPath(modelDirectory), FolderName);
        var folder = Path.Combine(parent, $"{OnnxRuntimeEnvironment.PrepackKey()}-{model.Fingerprint[..16]}");
        var graph = Path.Combine(folder, ModelDescription.GraphFileName);
        if (File.Exists(graph)) return graph;

        try
        {
            Directory.CreateDirectory(parent);
            using var held = FolderLock.Acquire(folder, CancellationToken.None);
            if (!File.Exists(graph)) Make(Path.Combine(modelDirectory, ModelDescription.GraphFileName), folder);
            return graph;
        }
        catch (Exception exception) when (exception is UnauthorizedAccessException or IOException { HResult: ReadOnlyFileSystem })
        {
            return null; // The caller opens the imported graph itself and packs in memory.
        }
    }

    private const int ReadOnlyFileSystem = 30; // EROFS

    private static void Make(string source, string folder)
    {
        var temporary = folder + ".tmp";
        if (Directory.Exists(temporary)) Directory.Delete(temporary, recursive: true); // Left by a process that was killed: we hold the lock.
        Directory.CreateDirectory(temporary);
        try
        {
            using (var operators = new SessionOperators(reducer: null))
            using (var options = OnnxRuntimeEnvironment.CreateSessionOptions(intraOpThreads: 1, operators))
            {
                options.OptimizedModelFilePath = Path.Combine(temporary, ModelDescription.GraphFileName);
                options.AddSessionConfigEntry("session.save_external_prepacked_constant_initializers", "1");
                options.AddSessionConfigEntry("session.optimized_model_external_initializers_file_name", ModelDescription.WeightsFileName);
                options.AddSessionConfigEntry("session.optimized_model_external_initializers_min_size_in_bytes", "1024");
                using var session = new InferenceSession(source, options);
            }

            ExternalDataAligner.Align(Path.Combine(temporary, ModelDescription.GraphFileName), Path.Combine(temporary, ModelDescription.WeightsFileName));
            foreach (var file in Directory.EnumerateFiles(temporary))
            {
                using var handle = File.OpenHandle(file, FileMode.Open, FileAccess.ReadWrite);
                RandomAccess.FlushToDisk(handle);
            }

            Directory.Move(temporary, folder);
        }
        catch
        {
            Directory.Delete(temporary, recursive: true);
            throw;
        }
    }
}
