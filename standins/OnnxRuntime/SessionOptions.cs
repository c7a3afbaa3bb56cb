using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>What a session is created with. Makes the environment if nobody has.</summary>
public partial class SessionOptions : SafeHandle
{
    private bool _enableMemoryPattern = true;
    private bool _enableCpuMemArena = true;
    private bool _enableProfiling;
    private string _optimizedModelFilePath = "";
    private string _logId = "";
    private OrtLoggingLevel _logSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_WARNING;
    private int _intraOpNumThreads;
    private int _interOpNumThreads;
    private GraphOptimizationLevel _graphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL;
    private ExecutionMode _executionMode = ExecutionMode.ORT_SEQUENTIAL;

    public SessionOptions()
        : base(0, true)
    {
        handle = OrtTable.Create(Entry.CreateSessionOptions);
        OrtEnv.Instance();
    }

    public override bool IsInvalid => handle == 0;

    public bool EnableMemoryPattern
    {
        get => _enableMemoryPattern;
        set
        {
            if (value == _enableMemoryPattern) return;
            OrtTable.Call(value ? Entry.EnableMemPattern : Entry.DisableMemPattern, handle);
            _enableMemoryPattern = value;
        }
    }

    public bool EnableCpuMemArena
    {
        get => _enableCpuMemArena;
        set
        {
            if (value == _enableCpuMemArena) return;
            OrtTable.Call(value ? Entry.EnableCpuMemArena : Entry.DisableCpuMemArena, handle);
            _enableCpuMemArena = value;
        }
    }

    public string ProfileOutputPathPrefix { get; set; } = "onnxruntime_profile_";

    public bool EnableProfiling
    {
        get => _enableProfiling;
        set
        {
            if (value == _enableProfiling) return;
            if (value) OrtTable.CallText(Entry.EnableProfiling, handle, ProfileOutputPathPrefix);
            else OrtTable.Call(Entry.DisableProfiling, handle);
            _enableProfiling = value;
        }
    }

    public string OptimizedModelFilePath
    {
        get => _optimizedModelFilePath;
        set
        {
            if (value == _optimizedModelFilePath) return;
            OrtTable.CallText(Entry.SetOptimizedModelFilePath, handle, value);
            _optimizedModelFilePath = value;
        }
    }

    public string LogId
    {
        get => _logId;
        set
        {
            OrtTable.CallText(Entry.SetSessionLogId, handle, value);
            _logId = value;
        }
    }

    public OrtLoggingLevel LogSeverityLevel
    {
        get => _logSeverityLevel;
        set
        {
            OrtTable.CallInt(Entry.SetSessionLogSeverityLevel, handle, (int)value);
            _logSeverityLevel = value;
        }
    }

    public int IntraOpNumThreads
    {
        get => _intraOpNumThreads;
        set
        {
            OrtTable.CallInt(Entry.SetIntraOpNumThreads, handle, value);
            _intraOpNumThreads = value;
        }
    }

    public int InterOpNumThreads
    {
        get => _interOpNumThreads;
        set
        {
            OrtTable.CallInt(Entry.SetInterOpNumThreads, handle, value);
            _interOpNumThreads = value;
        }
    }

    public GraphOptimizationLevel GraphOptimizationLevel
    {
        get => _graphOptimizationLevel;
        set
        {
            OrtTable.CallInt(Entry.SetSessionGraphOptimizationLevel, handle, (int)value);
            _graphOptimizationLevel = value;
        }
    }

    public ExecutionMode ExecutionMode
    {
        get => _executionMode;
        set
        {
            OrtTable.CallInt(Entry.SetSessionExecutionMode, handle, (int)value);
            _executionMode = value;
        }
    }

    internal nint Handle => handle;

    /// <summary>Sets one entry of the session's configuration; a later one of the same key wins.</summary>
    public unsafe void AddSessionConfigEntry(string configKey, string configValue)
    {
        fixed (byte* key = OrtTable.Utf8(configKey), value = OrtTable.Utf8(configValue))
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, byte*, byte*, nint>)OrtTable.Of(Entry.AddSessionConfigEntry))(handle, key, value));
        }
    }

    /// <summary>The session uses the environment's thread pools instead of its own.</summary>
    public void DisablePerSessionThreads() => OrtTable.Call(Entry.DisablePerSessionThreads, handle);

    protected override bool ReleaseHandle()
    {
        OrtTable.Release(Entry.ReleaseSessionOptions, handle);
        handle = 0;
        return true;
    }
}
