using System.Diagnostics.Metrics;
using System.Text.Json;
using Granary.Grains;
using Granary.Silo.Hosting;
using Granary.Silo.Metrics;
using Granary.Silo.Storage;
using Granary.Tests.Conformance.Deploy;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace Granary.Tests.Conformance.Storage;

/// <summary>Grains' states in a Redis that really runs.</summary>
public sealed class RedisStorageTests
{
    private static readonly GrainId Grain = GrainId.Create("session", "tenant/talk");

    [RedisFact]
    public async Task WriteState_OfANewState_IsReadAsItWas_UntilCleared()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis);
        var (mine, other) = (new GrainState<string>(), new GrainState<string>("left as it is"));

        await storage.Of().ReadStateAsync("state", Grain, mine);
        Assert.Equal((false, null), (mine.RecordExists, mine.ETag));
        mine.State = "héllo";
        await storage.Of().WriteStateAsync("state", Grain, mine);
        await storage.Of().ReadStateAsync("state", Grain, other);
        Assert.Equal(("héllo", mine.ETag, true), (other.State, other.ETag, other.RecordExists));

        await storage.Of().ClearStateAsync("state", Grain, other);
        await storage.Of().ReadStateAsync("state", Grain, mine);
        Assert.Equal((false, null), (mine.RecordExists, mine.ETag));
    }

    /// <summary>States of another name, grain or service are others.</summary>
    [RedisFact]
    public async Task WriteState_OfOthers_TouchesNothing()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis);
        await storage.Of().WriteStateAsync("state", Grain, new GrainState<string>("mine"));

        await storage.Of().WriteStateAsync("other", Grain, new GrainState<string>("1"));
        await storage.Of().WriteStateAsync("state", GrainId.Create("session", "tenant/other"), new GrainState<string>("2"));
        await storage.Of(service: "another").WriteStateAsync("state", Grain, new GrainState<string>("3"));

        Assert.Equal("mine", await storage.ReadAsync());
    }

    /// <summary>Of two that read the same state, one writes; and nobody writes or clears over what he has not seen.</summary>
    [RedisFact]
    public async Task WriteState_OverWhatSomebodyElseWrote_IsRefused()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis);
        var (first, second) = (new GrainState<string>("1"), new GrainState<string>("2"));
        await storage.Of().WriteStateAsync("state", Grain, first);

        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.Of().WriteStateAsync("state", Grain, second));
        await storage.Of().ReadStateAsync("state", Grain, second);
        second.State = "3";
        await storage.Of().WriteStateAsync("state", Grain, second);
        var error = await Assert.ThrowsAsync<InconsistentStateException>(() => storage.Of().WriteStateAsync("state", Grain, first));
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.Of().ClearStateAsync("state", Grain, first));

        Assert.Contains(first.ETag!, error.Message);
        Assert.Equal("3", await storage.ReadAsync());
        await storage.Of().ClearStateAsync("state", Grain, second);
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.Of().WriteStateAsync("state", Grain, new GrainState<string>("4", "gone")));
    }

    [RedisFact]
    public async Task WriteState_ManyAtOnce_ExactlyOneEachTime()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis);
        for (var round = 0; round < 20; round++)
        {
            var read = new GrainState<string>();
            await storage.Of().ReadStateAsync("state", Grain, read);
            var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(async i =>
            {
                var state = new GrainState<string>($"{round}/{i}", read.ETag);
                var failed = await Record.ExceptionAsync(() => storage.Of().WriteStateAsync("state", Grain, state));
                return (state, failed);
            }));

            var written = Assert.Single(outcomes, outcome => outcome.failed is null);
            Assert.All(outcomes, outcome => Assert.True(outcome.failed is null or InconsistentStateException, outcome.failed?.ToString()));
            Assert.Equal(written.state.State, await storage.ReadAsync());
        }
    }

    [RedisFact]
    public async Task WriteState_LargerThanItsBound_IsRefusedByName()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis, new StorageOptions { MaxValueBytes = 1 << 16 });
        await storage.Of().WriteStateAsync("state", Grain, new GrainState<string>(new string('a', (1 << 16) - 2)));

        var large = new GrainState<string>();
        await storage.Of().ReadStateAsync("state", Grain, large);
        large.State = new string('b', 1 << 16);
        var error = await Assert.ThrowsAsync<StateTooLargeException>(() => storage.Of().WriteStateAsync("state", Grain, large));

        Assert.Equal(((1 << 16) + 2L, 1L << 16), (error.Bytes, error.MaxBytes));
        Assert.Contains("Granary:Storage:MaxValueBytes", error.Message);
        Assert.StartsWith("aaa", await storage.ReadAsync());
    }

    [RedisFact]
    public async Task WriteState_WithALifetime_EndsByItself()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis, new StorageOptions { EntryLifetimeSeconds = 1 });
        await storage.Of().WriteStateAsync("state", Grain, new GrainState<string>("short"));

        await Poll.UntilAsync(async () => await storage.ReadAsync() is null, "the state has ended");
    }

    /// <summary>Whoever loses the grain that would have ended its state loses no memory of Redis.</summary>
    [RedisFact]
    public async Task WriteState_StateSaysWhenItEnds_EndsByItself()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis, new StorageOptions());
        await storage.Of().WriteStateAsync("state", Grain, new GrainState<Expiring>(new(TimeProvider.System.GetUtcNow().AddSeconds(-60))));

        await Poll.UntilAsync(
            async () =>
            {
                var read = new GrainState<Expiring>();
                await storage.Of().ReadStateAsync("state", Grain, read);
                return !read.RecordExists;
            },
            "the state has ended");
    }

    private sealed record Expiring(DateTimeOffset ExpiresAt) : IExpiringState;

    [RedisFact]
    public async Task Redis_CrashesAndComesBack_AllIsThere()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis, new StorageOptions { TimeoutMilliseconds = 1000 });
        var state = new GrainState<string>("kept");
        await storage.Of().WriteStateAsync("state", Grain, state);

        await redis.KillAsync();
        var gone = await Assert.ThrowsAsync<StorageUnavailableException>(() => storage.Of().WriteStateAsync("state", Grain, state));
        Assert.Contains("session/tenant/talk", gone.Message);
        Assert.True(storage.Failures > 0);
        await redis.RunAsync();
        await Poll.UntilAsync(async () => await Record.ExceptionAsync(storage.ReadAsync) is null, "Redis is connected to again");

        // Whether the writing that was given up was done nobody knows: newer clients of Redis send it when they are connected again.
        await storage.Of().ReadStateAsync("state", Grain, state);
        Assert.Equal("kept", state.State);
        state.State = "changed";
        await storage.Of().WriteStateAsync("state", Grain, state);
        Assert.Equal("changed", await storage.ReadAsync());
    }

    [RedisFact]
    public async Task Redis_IsNotThereYet_IsToldInTime_AndFoundWhenItComes()
    {
        await using var redis = await RedisServer.StartAsync();
        await redis.KillAsync();
        await using var storage = new Storages(redis, new StorageOptions { TimeoutMilliseconds = 500 });

        await Assert.ThrowsAsync<StorageUnavailableException>(storage.ReadAsync);
        await redis.RunAsync();

        await Poll.UntilAsync(async () => await Record.ExceptionAsync(storage.ReadAsync) is null, "Redis is connected to");
    }

    /// <summary>What was given up may have been done: the next writing says so, and does not overwrite it.</summary>
    [RedisFact]
    public async Task Redis_IsSlow_IsToldInTime_AndWhatItDidIsNotOverwritten()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var storage = new Storages(redis, new StorageOptions { TimeoutMilliseconds = 500 });
        var state = new GrainState<string>("1");
        await storage.Of().WriteStateAsync("state", Grain, state);

        redis.Freeze();
        state.State = "2";
        await Assert.ThrowsAsync<StorageUnavailableException>(() => storage.Of().WriteStateAsync("state", Grain, state));
        redis.Thaw();

        await Poll.UntilAsync(async () => await Record.ExceptionAsync(storage.ReadAsync) is null && await storage.ReadAsync() == "2", "the slow writing has come through");
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.Of().WriteStateAsync("state", Grain, state));
    }

    /// <summary>Storages over one connection, and what they counted.</summary>
    private sealed class Storages : IAsyncDisposable
    {
        private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        private readonly MeterListener _listener = new();
        private readonly StorageMetrics _metrics;
        private readonly StorageOptions _options;
        private readonly RedisConnection _connection;
        private long _failures;

        public Storages(RedisServer redis, StorageOptions? options = null)
        {
            _options = options ?? new StorageOptions { TimeoutMilliseconds = 10_000 };
            _connection = new RedisConnection(redis.Endpoint, TimeSpan.FromMilliseconds(_options.TimeoutMilliseconds), TimeProvider.System);
            var meters = _services.GetRequiredService<IMeterFactory>();
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (ReferenceEquals(instrument.Meter.Scope, meters) && instrument.Name == "granary.storage.failures") listener.EnableMeasurementEvents(instrument);
            };
            _listener.SetMeasurementEventCallback<long>((_, value, _, _) => Interlocked.Add(ref _failures, value));
            _listener.Start();
            _metrics = new StorageMetrics(meters);
        }

        public long Failures => Interlocked.Read(ref _failures);

        public RedisGrainStorage Of(string service = "service") =>
            new(_connection, _options, service, new JsonStates(), _metrics, TimeProvider.System, NullLogger<RedisGrainStorage>.Instance);

        public async Task<string?> ReadAsync()
        {
            var state = new GrainState<string>();
            await Of().ReadStateAsync("state", Grain, state);
            return state.RecordExists ? state.State : null;
        }

        public async ValueTask DisposeAsync()
        {
            await _connection.DisposeAsync();
            _listener.Dispose();
            await _services.DisposeAsync();
        }
    }

    private sealed class JsonStates : IGrainStorageSerializer
    {
        public BinaryData Serialize<T>(T input) => new(JsonSerializer.SerializeToUtf8Bytes(input));

        public T Deserialize<T>(BinaryData input) => JsonSerializer.Deserialize<T>(input.ToMemory().Span)!;
    }
}
