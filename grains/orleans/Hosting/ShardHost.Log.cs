using Microsoft.Extensions.Logging;

namespace Granary.Grains;

public sealed partial class ShardHost
{
    [LoggerMessage(Level = LogLevel.Information, Message = "Shard {Shard} loads, epoch {Epoch}.")]
    private partial void LogLoading(string shard, long epoch);

    [LoggerMessage(Level = LogLevel.Information, Message = "Shard {Shard} is loaded, epoch {Epoch}, after {Elapsed}.")]
    private partial void LogLoaded(string shard, long epoch, TimeSpan elapsed);

    [LoggerMessage(Level = LogLevel.Error, Message = "Shard {Shard}, epoch {Epoch}, could not be loaded.")]
    private partial void LogLoadFailed(string shard, long epoch, Exception exception);

    [LoggerMessage(Level = LogLevel.Information, Message = "Shard {Shard}, epoch {Epoch}, was ended.")]
    private partial void LogEnded(string shard, long epoch);

    [LoggerMessage(Level = LogLevel.Error, Message = "Shard {Shard}, epoch {Epoch}, failed.")]
    private partial void LogFailed(string shard, long epoch, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "Shard {Shard}, epoch {Epoch}, could not be disposed.")]
    private partial void LogDisposeFailed(string shard, long epoch, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Shard {Shard}, epoch {Epoch}, is ended: its leader was not heard of for {Seconds:F1} s before it was joined.")]
    private partial void LogLeaderSilent(string shard, long epoch, double seconds);
}
