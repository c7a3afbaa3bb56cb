using System.Net;

namespace Granary.Tests.Chaos.Processes;

/// <summary>One silo with its gateway: a process that can be started, ended in any way, and started again under its name.</summary>
/// <param name="command">Runs the silo.</param>
internal sealed class ProcessSilo(string name, Uri url, string log, string[] command, IReadOnlyDictionary<string, string> settings) : IAsyncDisposable
{
    /// <summary>Above what a silo gives its own requests.</summary>
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(45);

    private readonly HttpClient _http = new() { BaseAddress = url, Timeout = TimeSpan.FromSeconds(5) };
    private ChildProcess? _process;

    public string Name => name;

    public Uri Url => url;

    public bool IsRunning => _process is { HasExited: false };

    public int ExitCode => _process!.ExitCode;

    public void Start() => _process = ChildProcess.Start(log, command, settings);

    /// <summary>It should be sent requests, as its gateway says.</summary>
    /// <exception cref="InvalidOperationException">The process has ended.</exception>
    public Task WaitReadyAsync() => Wait.UntilAsync(
        async () => !IsRunning ? throw new InvalidOperationException($"{name} ended with {ExitCode}.") : await AskAsync("/health/ready") is not null, $"{name} is ready");

    /// <summary>What the gateway answers; null where it does not, or with an error.</summary>
    public async Task<string?> AskAsync(string path)
    {
        try
        {
            using var answer = await _http.GetAsync(path);
            return answer.StatusCode == HttpStatusCode.OK ? await answer.Content.ReadAsStringAsync() : null;
        }
        catch (Exception exception) when (exception is HttpRequestException or TaskCanceledException)
        {
            return null;
        }
    }

    public Task KillAsync() => _process!.KillAsync();

    public void Freeze() => _process!.Freeze();

    public void Thaw() => _process!.Thaw();

    /// <summary>Ends it as an operator does.</summary>
    public async Task TerminateAsync()
    {
        await _process!.TerminateAsync(StopLimit);
        Assert.Equal(0, ExitCode);
    }

    /// <summary>It ends by itself.</summary>
    public Task WaitExitAsync() => _process!.WaitAsync(Wait.Limit);

    public async Task RestartAsync()
    {
        await _process!.DisposeAsync();
        Start();
        await WaitReadyAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        if (_process is not null) await _process.DisposeAsync();
    }
}
