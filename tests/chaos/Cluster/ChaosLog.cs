using System.Collections.Concurrent;
using Granary.Tests.Support;
using Microsoft.Extensions.Logging;

namespace Granary.Tests.Chaos;

/// <summary>The last lines that all silos logged, by virtual time: what a failure is explained with.</summary>
internal sealed class ChaosLog(VirtualTime time)
{
    private const int Capacity = 4000;

    private readonly ConcurrentQueue<string> _lines = new();

    public void AddTo(ILoggingBuilder logging, string member)
    {
        logging.SetMinimumLevel(LogLevel.Information);
        logging.AddProvider(new Provider(this, member));
    }

    public void Add(string line)
    {
        _lines.Enqueue($"{time.Now.TotalSeconds,9:0.000} {line}");
        while (_lines.Count > Capacity) _lines.TryDequeue(out _);
    }

    /// <summary>Writes it to a file, and tells which.</summary>
    public string Write()
    {
        var path = Path.Combine(Path.GetTempPath(), $"chaos-{Guid.NewGuid():N}.log");
        File.WriteAllLines(path, _lines);
        return path;
    }

    private sealed class Provider(ChaosLog log, string member) : ILoggerProvider
    {
        public ILogger CreateLogger(string categoryName) =>
            categoryName.StartsWith("Granary", StringComparison.Ordinal) || categoryName.StartsWith("Orleans", StringComparison.Ordinal)
                ? new Logger(log, $"{member} {categoryName[(categoryName.LastIndexOf('.') + 1)..]}")
                : Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance;

        public void Dispose()
        {
        }
    }

    private sealed class Logger(ChaosLog log, string source) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            log.Add($"{logLevel.ToString()[..4]} {source}: {formatter(state, exception)}{(exception is null ? "" : $" ({exception.GetType().Name}: {exception.Message})")}");
    }
}
