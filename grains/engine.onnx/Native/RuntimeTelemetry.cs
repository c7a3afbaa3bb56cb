using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace Granary.Engine.Onnx.Native;

/// <summary>Keeps ONNX Runtime from sending usage data to its maker.</summary>
/// <remarks>
/// Official builds do so by default, from 1.29 on also on Linux: they report sessions and hashes of models, and keep a device id and a
/// database in the user's cache folder. What a silo serves leaves it to no one, so this is off with no way to turn it on.
/// </remarks>
internal static partial class RuntimeTelemetry
{
    private const string Switch = "ORT_DISABLE_TELEMETRY";

    /// <summary>Must run before the library's environment is created: it looks at the switch then.</summary>
    public static void Disable()
    {
        // The runtime reads the C library's environment; on Unix .NET keeps a copy of its own.
        if (OperatingSystem.IsWindows())
            Environment.SetEnvironmentVariable(Switch, "1");
        else if (SetEnvironment(Switch, "1", overwrite: 1) != 0)
            throw new InvalidOperationException($"{Switch} cannot be set in the environment of this process.");

        OrtEnv.Instance().DisableTelemetryEvents();
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
