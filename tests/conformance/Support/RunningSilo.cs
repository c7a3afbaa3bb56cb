using Granary.Grains;
using Granary.Silo.Hosting;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Granary.Tests.Conformance.Support;

/// <summary>A real silo with its gateway on a free port, and a folder of its own for imported models.</summary>
public sealed class RunningSilo : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly string _cache;

    private RunningSilo(WebApplication app, string cache)
    {
        _app = app;
        _cache = cache;
        Address = new Uri(app.Urls.Single());
        Http = new HttpClient { BaseAddress = Address, Timeout = TimeSpan.FromMinutes(2) };
    }

    public Uri Address { get; }

    public HttpClient Http { get; }

    public IServiceProvider Services => _app.Services;

    public static async Task<RunningSilo> StartAsync(
        Dictionary<string, string?>? settings = null, Action<IServiceCollection>? configure = null, bool waitForModels = true)
    {
        var cache = Directory.CreateTempSubdirectory("granary-conformance-").FullName;
        var all = new Dictionary<string, string?>
        {
            ["Granary:CacheDirectory"] = cache,
            ["Granary:Threads"] = "1", // What exactness is promised for.
            ["Granary:KvBlocks"] = "512",
            ["Granary:Streams:BeginMilliseconds"] = "10000", // Events have ids, however busy the machine is.
            ["Granary:Cluster:ClusterId"] = $"test-{Guid.NewGuid():N}", // Silos of one process must not meet.
        };
        foreach (var (key, value) in settings ?? []) all[key] = value;
        var app = WebHost.Build(all, ["http://127.0.0.1:0"], LogLevel.Warning, configure);
        await app.StartAsync();
        var silo = new RunningSilo(app, cache);
        if (waitForModels) await app.Services.GetRequiredService<ModelDeployment>().Completed.WaitAsync(TimeSpan.FromMinutes(2));
        return silo;
    }

    /// <summary>KV blocks that sequences hold, over all replicas.</summary>
    public int KvBlocksUsed => Services.GetRequiredService<EngineHost>().Replicas.Sum(replica => replica.Engine.Load.KvBlocksUsed);

    public int Running => Services.GetRequiredService<EngineHost>().Replicas.Sum(replica => replica.Engine.Load.RunningSequences + replica.Engine.Load.WaitingSequences);

    /// <summary>Waits until no sequence runs; engines publish no event for it.</summary>
    public Task WaitUntilIdleAsync() => Poll.UntilAsync(() => KvBlocksUsed == 0 && Running == 0, "no sequence runs and no KV block is held");

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        Directory.Delete(_cache, recursive: true);
    }
}

/// <summary>One silo for the tests that only ask it.</summary>
public sealed class SiloFixture : IAsyncLifetime
{
    public RunningSilo Silo { get; private set; } = null!;

    public HttpClient Http => Silo.Http;

    public async Task InitializeAsync() => Silo = await RunningSilo.StartAsync();

    public async Task DisposeAsync()
    {
        if (Silo is not null) await Silo.DisposeAsync();
    }
}

/// <summary>Tests of one silo run one after another: they look at its counters.</summary>
[CollectionDefinition(Name)]
public sealed class SiloTests : ICollectionFixture<SiloFixture>
{
    public const string Name = "silo";
}
