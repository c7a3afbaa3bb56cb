using System.Globalization;
using Microsoft.ML.OnnxRuntime;

namespace Granary.Engine.Onnx.Native;

/// <summary>The process's one ONNX Runtime environment, and the options our sessions share.</summary>
internal static class OnnxRuntimeEnvironment
{
    // Before anything else of the library.
    static OnnxRuntimeEnvironment() => RuntimeTelemetry.Disable();

    /// <summary>The runtime's own names of the execution providers that its library was built with.</summary>
    public static string[] AvailableProviders() => OrtEnv.Instance().GetAvailableProviders();

    /// <summary>Options for a session that runs <paramref name="intraOpThreads"/> wide and knows <paramref name="operators"/>.</summary>
    /// <remarks>
    /// Threads that wait do not spin: on shared cores a spinning pool costs its neighbours, and itself, most of their speed.
    /// Memory patterns are off because every step has other shapes. One thread means the caller's, without a pool.
    /// </remarks>
    public static SessionOptions CreateSessionOptions(int intraOpThreads, Execution.SessionOperators operators)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(intraOpThreads, 1);
        Execution.OperatorDomain.EnsureKnown();
        var options = new SessionOptions
        {
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            InterOpNumThreads = 1,
            IntraOpNumThreads = intraOpThreads,
            EnableMemoryPattern = false,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        options.AddSessionConfigEntry("session.inter_op.allow_spinning", "0");
        operators.Register(options);
        return options;
    }

    /// <summary>What a prepacked model depends on besides the model: the library's build and the CPU's instruction sets.</summary>
    public static string PrepackKey()
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"{OrtApi.LibraryVersion}|{OrtApi.BuildInformation}|{CpuFeatures.Describe()}");
        var hash = System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(text));
        return $"ort-{OrtApi.LibraryVersion}-{Convert.ToHexStringLower(hash.AsSpan(0, 8))}";
    }
}
