using System.Diagnostics;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Native;
using Microsoft.ML.OnnxRuntime;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The execution providers by the names that our options know, and which of them the installed runtime has.</summary>
/// <remarks>
/// Which providers there are is decided by the package that brings the native library: the plain one has the CPU's only. A library that was built
/// to know a provider finds it in another library beside itself; without that one it has it not.
/// </remarks>
public static class ExecutionProviders
{
    public const string Cpu = "cpu";
    public const string Cuda = "cuda";

    private static readonly Dictionary<string, (string Name, Action<SessionOptions, int> Append)> Known = new(StringComparer.Ordinal)
    {
        [Cpu] = ("CPUExecutionProvider", (_, _) => { }
        ),
        [Cuda] = ("CUDAExecutionProvider", (options, device) => options.AppendExecutionProvider_CUDA(device)),
        ["tensorrt"] = ("TensorrtExecutionProvider", (options, device) => options.AppendExecutionProvider_Tensorrt(device)),
        ["openvino"] = ("OpenVINOExecutionProvider", (options, _) => options.AppendExecutionProvider_OpenVINO()),
        ["migraphx"] = ("MIGraphXExecutionProvider", (options, device) => options.AppendExecutionProvider_MIGraphX(device)),
    };

    private static readonly Lazy<HashSet<string>> Installed = new(Find);

    /// <summary>Names of the providers that can be asked for.</summary>
    public static IReadOnlyCollection<string> Names => Known.Keys;

    /// <summary>Whether the installed runtime has the provider.</summary>
    public static bool IsInstalled(string provider) => Installed.Value.Contains(provider);

    /// <summary>Whether a device of the provider is chosen by its number.</summary>
    public static bool HasSeveralDevices(string provider) => provider is not (Cpu or "openvino");

    /// <summary>What is missing for a known provider, with what is there; null where the installed runtime has it. The CPU's is always there, and nothing is loaded to tell.</summary>
    public static string? WhyMissing(string provider) => provider == Cpu || IsInstalled(provider)
        ? null
        : $"Provider is '{provider}', which is not in the installed ONNX Runtime {OrtApi.LibraryVersion}; it has {string.Join(", ", Names.Where(IsInstalled))}.";

    /// <exception cref="ModelSessionException">The provider is unknown or not in the installed runtime, or cannot run a graph for this target.</exception>
    internal static void Check(string provider, ModelTarget target)
    {
        if (!Known.ContainsKey(provider)) throw new ModelSessionException($"Provider is '{provider}'; known are {string.Join(", ", Names)}.");
        if (WhyMissing(provider) is { } missing) throw new ModelSessionException(missing);
        if (target != ModelTarget.Cpu && provider != Cuda) throw new ModelSessionException($"Provider is '{provider}'; a graph for {target} runs on {Cuda} only.");
    }

    /// <summary>Lets a session use the provider for the operators that it has; the CPU takes the others.</summary>
    internal static void Append(SessionOptions options, string provider, int deviceId) => Known[provider].Append(options, deviceId);

    private static HashSet<string> Find()
    {
        var available = OnnxRuntimeEnvironment.AvailableProviders(); // The library is loaded from here on.
        using var process = Process.GetCurrentProcess();
        var library = process.Modules.Cast<ProcessModule>().Select(module => module.FileName)
            .FirstOrDefault(file => Path.GetFileName(file) is { } name && (name.StartsWith("libonnxruntime.", StringComparison.Ordinal) || name == "onnxruntime.dll"));
        return [.. from provider in Known where available.Contains(provider.Value.Name) && (provider.Key == Cpu || HasLibrary(provider.Key)) select provider.Key];

        // Where the runtime itself was not found among what is loaded, its own word counts.
        bool HasLibrary(string provider) =>
            library is null || File.Exists(Path.Combine(Path.GetDirectoryName(library)!, OperatingSystem.IsWindows() ? $"onnxruntime_providers_{provider}.dll" : $"libonnxruntime_providers_{provider}.so"));
    }
}
