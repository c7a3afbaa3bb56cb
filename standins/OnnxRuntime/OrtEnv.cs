using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>What the process-wide environment is created with; all optional.</summary>
public struct EnvironmentCreationOptions
{
#pragma warning disable CA1051 // Fields, as in the genuine struct.
    public string logId;
    public OrtLoggingLevel? logLevel;
    public OrtThreadingOptions threadOptions;
#pragma warning restore CA1051
}

/// <summary>The process-wide environment, made by the first that asks.</summary>
public sealed unsafe class OrtEnv : SafeHandle
{
    private static readonly Lazy<OrtEnv> LazyInstance = new(Create);
    private static EnvironmentCreationOptions? _options;

    private OrtEnv(nint handle)
        : base(handle, true)
    {
    }

    public static bool IsCreated => LazyInstance.IsValueCreated;

    public override bool IsInvalid => handle == 0;

    internal nint Handle => handle;

    public static OrtEnv Instance() => LazyInstance.Value;

    /// <summary>Creates the environment with options; refused when it exists.</summary>
    public static OrtEnv CreateInstanceWithOptions(ref EnvironmentCreationOptions options)
    {
        if (LazyInstance.IsValueCreated)
        {
            throw new OnnxRuntimeException(ErrorCode.RuntimeException, "The environment exists already; the options would have no effect.");
        }

        _options = options;
        return LazyInstance.Value;
    }

    public string GetVersionString() => OrtTable.VersionString;

    /// <summary>Names of the execution providers that the native library was built with, the most preferred first.</summary>
    public string[] GetAvailableProviders()
    {
        byte** names;
        int count;
        OrtTable.Check(((delegate* unmanaged[Cdecl]<byte***, int*, nint>)OrtTable.Of(Entry.GetAvailableProviders))(&names, &count));
        try
        {
            var providers = new string[count];
            for (var i = 0; i < count; i++) providers[i] = Marshal.PtrToStringUTF8((nint)names[i])!;
            return providers;
        }
        finally
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<byte**, int, nint>)OrtTable.Of(Entry.ReleaseAvailableProviders))(names, count));
        }
    }

    public void EnableTelemetryEvents() => OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint>)OrtTable.Of(Entry.EnableTelemetryEvents))(handle));

    public void DisableTelemetryEvents() => OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint>)OrtTable.Of(Entry.DisableTelemetryEvents))(handle));

    protected override bool ReleaseHandle()
    {
        OrtTable.Release(Entry.ReleaseEnv, handle);
        handle = 0;
        return true;
    }

    private static OrtEnv Create()
    {
        var options = _options ?? default;
        var level = options.logLevel ?? OrtLoggingLevel.ORT_LOGGING_LEVEL_WARNING;
        nint environment;
        fixed (byte* logId = OrtTable.Utf8(string.IsNullOrEmpty(options.logId) ? "CSharpOnnxRuntime" : options.logId))
        {
            OrtTable.Check(options.threadOptions is null
                ? ((delegate* unmanaged[Cdecl]<int, byte*, nint*, nint>)OrtTable.Of(Entry.CreateEnv))((int)level, logId, &environment)
                : ((delegate* unmanaged[Cdecl]<int, byte*, nint, nint*, nint>)OrtTable.Of(Entry.CreateEnvWithGlobalThreadPools))(
                    (int)level, logId, options.threadOptions.Handle, &environment));
        }

        return new OrtEnv(environment);
    }
}
