using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Entries of the C API's function table, by their place in <c>struct OrtApi</c> (append-only across versions).</summary>
internal enum Entry
{
    GetErrorCode = 1,
    GetErrorMessage = 2,
    CreateEnv = 3,
    EnableTelemetryEvents = 5,
    DisableTelemetryEvents = 6,
    CreateSession = 7,
    CreateSessionFromArray = 8,
    CreateSessionOptions = 10,
    SetOptimizedModelFilePath = 11,
    SetSessionExecutionMode = 13,
    EnableProfiling = 14,
    DisableProfiling = 15,
    EnableMemPattern = 16,
    DisableMemPattern = 17,
    EnableCpuMemArena = 18,
    DisableCpuMemArena = 19,
    SetSessionLogId = 20,
    SetSessionLogSeverityLevel = 22,
    SetSessionGraphOptimizationLevel = 23,
    SetIntraOpNumThreads = 24,
    SetInterOpNumThreads = 25,
    SessionGetInputCount = 30,
    SessionGetOutputCount = 31,
    SessionGetInputTypeInfo = 33,
    SessionGetOutputTypeInfo = 34,
    SessionGetInputName = 36,
    SessionGetOutputName = 37,
    CreateRunOptions = 39,
    RunOptionsSetTerminate = 46,
    RunOptionsUnsetTerminate = 47,
    CreateTensorAsOrtValue = 48,
    CreateTensorWithDataAsOrtValue = 49,
    GetTensorMutableData = 51,
    CastTypeInfoToTensorInfo = 55,
    GetTensorElementType = 60,
    GetDimensionsCount = 61,
    GetDimensions = 62,
    GetSymbolicDimensions = 63,
    GetTensorShapeElementCount = 64,
    GetTensorTypeAndShape = 65,
    CreateMemoryInfo = 68,
    CreateCpuMemoryInfo = 69,
    AllocatorFree = 76,
    GetAllocatorWithDefaultOptions = 78,
    ReleaseEnv = 92,
    ReleaseStatus = 93,
    ReleaseMemoryInfo = 94,
    ReleaseSession = 95,
    ReleaseValue = 96,
    ReleaseRunOptions = 97,
    ReleaseTypeInfo = 98,
    ReleaseTensorTypeAndShapeInfo = 99,
    ReleaseSessionOptions = 100,
    CreateEnvWithGlobalThreadPools = 119,
    DisablePerSessionThreads = 120,
    CreateThreadingOptions = 121,
    ReleaseThreadingOptions = 122,
    GetAvailableProviders = 125,
    ReleaseAvailableProviders = 126,
    AddSessionConfigEntry = 130,
    CreateAllocator = 131,
    ReleaseAllocator = 132,
    RunWithBinding = 133,
    CreateIoBinding = 134,
    ReleaseIoBinding = 135,
    BindInput = 136,
    BindOutput = 137,
    BindOutputToDevice = 138,
    GetBoundOutputValues = 140,
    ClearBoundInputs = 141,
    ClearBoundOutputs = 142,
    SetGlobalIntraOpNumThreads = 147,
    SetGlobalInterOpNumThreads = 148,
    SetGlobalSpinControl = 149,
}

/// <summary>The table itself, and calls through it.</summary>
internal static unsafe class OrtTable
{
    // The version whose entries are used; the library answers every version up to its own.
    private const uint ApiVersion = 24;

    private static readonly nint* Entries = Load(out VersionString);

    public static readonly string VersionString;

    public static nint Of(Entry entry) => Entries[(int)entry];

    public static void Check(nint status)
    {
        if (status == 0) return;
        var code = ((delegate* unmanaged[Cdecl]<nint, int>)Of(Entry.GetErrorCode))(status);
        var message = Marshal.PtrToStringUTF8((nint)((delegate* unmanaged[Cdecl]<nint, byte*>)Of(Entry.GetErrorMessage))(status));
        Release(Entry.ReleaseStatus, status);
        throw new OnnxRuntimeException((ErrorCode)code, message);
    }

    public static void Call(Entry entry, nint a) => Check(((delegate* unmanaged[Cdecl]<nint, nint>)Of(entry))(a));

    public static void Call(Entry entry, nint a, nint b) => Check(((delegate* unmanaged[Cdecl]<nint, nint, nint>)Of(entry))(a, b));

    public static void CallInt(Entry entry, nint a, int b) => Check(((delegate* unmanaged[Cdecl]<nint, int, nint>)Of(entry))(a, b));

    public static void CallText(Entry entry, nint a, string text)
    {
        fixed (byte* utf8 = Utf8(text)) Call(entry, a, (nint)utf8);
    }

    public static nint Create(Entry entry)
    {
        nint handle;
        Check(((delegate* unmanaged[Cdecl]<nint*, nint>)Of(entry))(&handle));
        return handle;
    }

    public static nint Get(Entry entry, nint a)
    {
        nint value = 0;
        Check(((delegate* unmanaged[Cdecl]<nint, nint*, nint>)Of(entry))(a, &value));
        return value;
    }

    public static void Release(Entry entry, nint handle) => ((delegate* unmanaged[Cdecl]<nint, void>)Of(entry))(handle);

    /// <summary>Text as zero-terminated UTF-8.</summary>
    public static byte[] Utf8(string text)
    {
        var bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }

    [DllImport("onnxruntime", CallingConvention = CallingConvention.Cdecl)]
    private static extern nint OrtGetApiBase();

    private static nint* Load(out string version)
    {
        var apiBase = (nint*)OrtGetApiBase();
        version = Marshal.PtrToStringUTF8((nint)((delegate* unmanaged[Cdecl]<byte*>)apiBase[1])());
        var table = (nint*)((delegate* unmanaged[Cdecl]<uint, nint>)apiBase[0])(ApiVersion);
        if (table is null) throw new NotSupportedException($"ONNX Runtime {version} does not offer API version {ApiVersion}.");
        return table;
    }
}
