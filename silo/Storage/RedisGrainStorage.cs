using Granary.Grains;
using Granary.Silo.Hosting;
using Granary.Silo.Metrics;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;
using StackExchange.Redis;

namespace Granary.Silo.Storage;

/// <summary>Grains' states in Redis: one hash each, with the state's bytes and the tag of the writing that made them.</summary>
/// <remarks>
/// A state is written only over the one that was read: a script compares the tags and writes in one go, so that of two activations of a
/// grain, as there may be for a moment when the cluster is cut, one is refused. Keys are <c>service/state/name/grain</c>.
/// </remarks>
internal sealed partial class RedisGrainStorage(
    RedisConnection redis, StorageOptions options, string serviceId, IGrainStorageSerializer serializer, StorageMetrics metrics,
    TimeProvider time, ILogger<RedisGrainStorage> logger) : IGrainStorage
{
    /// <remarks>ARGV: the tag that was read or nothing, the new tag, the state, milliseconds to live or 0.</remarks>
    private const string WriteScript = """
        if (redis.call('HGET', KEYS[1], 'etag') or '') ~= ARGV[1] then return 0 end
        redis.call('HMSET', KEYS[1], 'etag', ARGV[2], 'data', ARGV[3])
        if ARGV[4] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
        return 1
        """;

    /// <remarks>ARGV: the tag that was read. What is gone already needs no clearing.</remarks>
    private const string ClearScript = """
        local etag = redis.call('HGET', KEYS[1], 'etag')
        if etag and etag ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[1])
        return 1
        """;

    /// <summary>How much longer than it says a state is kept: clocks differ, and its grain sees to its end.</summary>
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(1);

    private static readonly RedisValue[] Fields = ["etag", "data"];

    public async Task ReadStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState)
    {
        var values = await AskAsync("read", grainType, grainId, (database, key) => database.HashGetAsync(key, Fields));
        if (values[0].IsNull || values[1].IsNull)
        {
            (grainState.ETag, grainState.RecordExists) = (null, false);
            return;
        }

        grainState.State = serializer.Deserialize<T>(new BinaryData((byte[])values[1]!));
        (grainState.ETag, grainState.RecordExists) = (values[0], true);
    }

    public async Task WriteStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState)
    {
        var state = serializer.Serialize(grainState.State).ToArray();
        if (state.Length > options.MaxValueBytes)
        {
            throw new StateTooLargeException(
                $"State {grainType} of {grainId} has {state.Length} bytes; Granary:Storage:MaxValueBytes allows {options.MaxValueBytes}.", state.Length, options.MaxValueBytes);
        }

        var tag = Guid.NewGuid().ToString("N");
        RedisValue[] arguments = [grainState.ETag ?? "", tag, state, LifetimeOf(grainState.State)];
        await ChangeAsync("write", WriteScript, arguments, grainType, grainId, grainState.ETag);
        (grainState.ETag, grainState.RecordExists) = (tag, true);
    }

    /// <returns>Milliseconds; 0 for good.</returns>
    private long LifetimeOf<T>(T state)
    {
        var most = 1000L * options.EntryLifetimeSeconds;
        if (state is not IExpiringState expiring) return most;
        var own = (long)Math.Max(1, (expiring.ExpiresAt - time.GetUtcNow() + Slack).TotalMilliseconds);
        return most == 0 ? own : Math.Min(own, most);
    }

    public async Task ClearStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState)
    {
        await ChangeAsync("clear", ClearScript, [grainState.ETag ?? ""], grainType, grainId, grainState.ETag);
        (grainState.ETag, grainState.RecordExists) = (null, false);
    }

    private async Task ChangeAsync(string operation, string script, RedisValue[] arguments, string grainType, GrainId grainId, string? tag)
    {
        var result = await AskAsync(operation, grainType, grainId, (database, key) => database.ScriptEvaluateAsync(script, [key], arguments));
        if ((int)result == 1) return;
        metrics.Conflict(operation);
        throw new InconsistentStateException(
            $"State {grainType} of {grainId} was written by somebody else: there is another than the one that was read, whose tag is '{tag}' ({operation}).");
    }

    private async Task<T> AskAsync<T>(string operation, string grainType, GrainId grainId, Func<IDatabase, RedisKey, Task<T>> ask)
    {
        RedisKey key = $"{serviceId}/state/{grainType}/{grainId}";
        var begun = time.GetTimestamp();
        try
        {
            var answer = await redis.AskAsync(database => ask(database, key));
            metrics.Answered(operation, time.GetElapsedTime(begun));
            return answer;
        }
        catch (Exception exception) when (exception is RedisException or TimeoutException or ObjectDisposedException)
        {
            metrics.Failed(operation);
            LogFailed(operation, grainType, grainId, options.TimeoutMilliseconds, exception);
            throw new StorageUnavailableException(
                $"State {grainType} of {grainId}: Redis did not {operation} within {options.TimeoutMilliseconds} ms: {exception.Message}", exception);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Redis did not {Operation} state {State} of {Grain} within {TimeoutMilliseconds} ms.")]
    private partial void LogFailed(string operation, string state, GrainId grain, int timeoutMilliseconds, Exception exception);
}
