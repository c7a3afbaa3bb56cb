using System.Collections.Concurrent;
using Granary.Client;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.TestingHost;

namespace Granary.Tests.Chaos;

/// <summary>A whole cluster in this process, in its own time: silos with a replica and a gateway each, and a client outside of them.</summary>
/// <remarks>The silos are configured as ours are, and each offers its replica by itself.</remarks>
internal sealed partial class ChaosCluster : IAsyncDisposable
{
    public const string Model = "m";

    /// <summary>A scenario that has not ended after so much virtual time hangs.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly ConcurrentDictionary<string, ProcessTime> _clocks = new();
    private readonly ChaosOptions _options;
    private readonly InProcessTestCluster _cluster;
    private readonly List<ChaosSilo> _silos = [];

    private ChaosCluster(ChaosOptions options)
    {
        _options = options;
        Log = new ChaosLog(Time);
        Unfailed = new Unfailed(options);
        Models = new ChaosModels(options, name => _clocks[name]);
        var builder = new InProcessTestClusterBuilder(options.Silos);
        builder.ConfigureSilo(Configure);
        builder.ConfigureClient(client =>
        {
            client.Services.AddSingleton<TimeProvider>(Time);
            client.Services.AddLogging(logging => Log.AddTo(logging, "client"));
            client.Configure<ClientMessagingOptions>(o => o.ResponseTimeout = TimeSpan.FromSeconds(15));
        });
        _cluster = builder.Build();
    }

    public VirtualTime Time { get; } = new();

    public ChaosModels Models { get; }

    public ChaosLog Log { get; }

    /// <summary>The silos that should be there, by number.</summary>
    public IReadOnlyList<ChaosSilo> Silos => _silos;

    /// <summary>As the client outside of the silos asks.</summary>
    public IGenerationClient Outside { get; private set; } = null!; // Set by StartAsync.

    public IGrainFactory Grains => _cluster.Client;

    /// <summary>What answers should be.</summary>
    public Unfailed Unfailed { get; }

    /// <summary>Keys of all routers.</summary>
    public IEnumerable<string> RouterKeys => [GrainKeys.Router(null, Model), .. _silos.Where(silo => !silo.IsGone).Select(silo => GrainKeys.Router(silo.Name, Model))];

    public static async Task<ChaosCluster> StartAsync(ChaosOptions? options = null)
    {
        var cluster = new ChaosCluster(options ?? new());
        await cluster._cluster.DeployAsync();
        foreach (var handle in cluster._cluster.Silos) cluster._silos.Add(new(handle, cluster._clocks[handle.Name]));
        cluster.Outside = ActivatorUtilities.CreateInstance<GrainGenerationClient>(cluster._cluster.Client.ServiceProvider);
        cluster.DetectFailures();
        await cluster.HealAsync();
        return cluster;
    }

    /// <summary>Runs a scenario; one that fails, or takes too long in virtual time, leaves its log in a file.</summary>
    /// <param name="plan">What a failure is told with: the seed above all.</param>
    public async Task RunAsync(string plan, Func<Task> scenario)
    {
        Log.Add($"Scenario: {plan}");
        try
        {
            await Task.Run(scenario).WaitAsync(Patience, Time);
        }
        catch (Exception exception)
        {
            var stack = exception is Xunit.Sdk.XunitException ? "" : $"\n{exception.GetType().Name} {exception.StackTrace}";
            throw new Xunit.Sdk.XunitException($"{plan}\n{exception.Message}{stack}\nThe log of all silos is in {Log.Write()}");
        }
    }

    public Task DelayAsync(TimeSpan duration) => Task.Delay(duration, Time);

    /// <summary>Asks again each 50 ms until the answer is as it should be.</summary>
    public async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> holds, TimeSpan patience, string what)
    {
        var began = Time.Now;
        var last = "";
        while (Time.Now - began < patience)
        {
            try
            {
                var answer = await ask();
                if (holds(answer)) return answer;
                last = answer?.ToString() ?? "";
            }
            catch (Exception exception) when (exception is not Xunit.Sdk.XunitException)
            {
                last = $"{exception.GetType().Name}: {exception.Message}";
            }

            await DelayAsync(TimeSpan.FromMilliseconds(50));
        }

        throw new TimeoutException($"{what}: not within {patience}; last was {last}");
    }

    /// <summary>The number of the silo whose replica has the most sequences now.</summary>
    public async Task<int> FindBusiestAsync()
    {
        var loads = await Task.WhenAll(_silos.Select(silo => Grains.GetGrain<IReplicaGrain>(GrainKeys.Replica($"{silo.Name}/cpu", Model, 0)).GetLoadAsync()));
        return Enumerable.Range(0, loads.Length).MaxBy(n => loads[n].RunningSequences + loads[n].WaitingSequences);
    }

    /// <summary>Undoes all faults, replaces the silos that are gone, and waits until every replica lives and is known.</summary>
    public async Task HealAsync()
    {
        EndFaults();
        for (var n = 0; n < _silos.Count; n++)
        {
            if (IsGone(_silos[n])) await RestartAsync(n);
        }

        await DeployedAsync();
    }

    /// <summary>Waits until each silo has its replica, and every router that is asked knows all of them and no other.</summary>
    public async Task DeployedAsync()
    {
        var patience = TimeSpan.FromMinutes(2);
        await UntilAsync(
            async () =>
            {
                var status = await _silos.First(silo => !IsGone(silo)).Grains.GetGrain<IModelGrain>(Model).GetStatusAsync();
                if (status.Missing.Length > 0) return status.Missing[0].Reason;
                var lives = status.Replicas.Select(replica => replica.Replica).ToHashSet();
                if (lives.Count != _silos.Count(silo => !IsGone(silo)) || !lives.SetEquals(Lives())) return $"the model knows {Text(lives)}, there are {Text(Lives())}";
                foreach (var key in RouterKeys)
                {
                    var known = (await Grains.GetGrain<IRouterGrain>(key).GetSnapshotAsync()).Replicas.Select(replica => replica.Replica).ToHashSet();
                    if (!lives.SetEquals(known)) return $"router {key} knows {Text(known)}, there are {Text(lives)}";
                }

                return "";
            },
            wrong => wrong.Length == 0, patience, "Each silo has its replica");

        static string Text(IEnumerable<ReplicaLife> lives) => string.Join(", ", lives.Select(life => $"{life.ReplicaId} {life.Epoch}"));
    }

    /// <summary>What the silos' hosts say, past all grains.</summary>
    private IEnumerable<ReplicaLife> Lives() => _silos.Where(silo => !IsGone(silo))
        .SelectMany(silo => silo.Services.GetRequiredService<EngineHost>().Replicas).Select(replica => replica.Descriptor.Replica);

    /// <summary>Puts a silo in the place of one that is gone; what is left of that one is ended first.</summary>
    public async Task RestartAsync(int number)
    {
        await EndAsync(_silos[number]);
        var handle = await _cluster.StartSiloAsync(number, _cluster.Options);
        _silos[number] = new(handle, _clocks[handle.Name]);
    }

    /// <summary>Adds a silo with the next number.</summary>
    public async Task<ChaosSilo> AddAsync()
    {
        var handle = await _cluster.StartSiloAsync(_silos.Count, _cluster.Options);
        var silo = new ChaosSilo(handle, _clocks[handle.Name]);
        _silos.Add(silo);
        return silo;
    }

    /// <summary>Stops a silo in order, as a rolling update does.</summary>
    public async Task StopAsync(int number)
    {
        var silo = _silos[number];
        await silo.Handle.StopSiloAsync(stopGracefully: true);
        silo.IsGone = true;
        silo.Clock.End();
        await silo.Handle.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        EndFaults();
        foreach (var silo in _silos) silo.Clock.End();
        Time.Dispose();
        foreach (var silo in _silos) await EndAsync(silo);
        await _cluster.DisposeAsync();
        await Unfailed.DisposeAsync();
    }

    private static async Task EndAsync(ChaosSilo silo)
    {
        silo.IsGone = true;
        silo.Clock.End();
        await silo.Handle.StopSiloAsync(stopGracefully: false);
        await silo.Handle.DisposeAsync();
    }

    private void Configure(InProcessTestSiloSpecificOptions specific, ISiloBuilder silo)
    {
        var clock = _clocks[specific.SiloName] = Time.NewProcess();
        silo.Services.AddSingleton<TimeProvider>(clock);
        silo.Services.AddLogging(logging => Log.AddTo(logging, specific.SiloName));
        silo.Services.AddSingleton(Models.Factory);
        silo.Services.AddSingleton<IModelFiles>(Models);
        silo.Services.AddGranaryGrains();
        silo.Services.AddHostedService<ShareKeeper>();
        silo.Services.Configure<WorkerOptions>(worker => (worker.Cores, worker.MemoryBytes) = (64, 1L << 40));
        silo.AddMemoryGrainStorageAsDefault();
        silo.Configure<SiloMessagingOptions>(o =>
        {
            o.ResponseTimeout = TimeSpan.FromSeconds(15);
            o.CancelRequestOnTimeout = true;
        });
        SetSeed(silo.Services, _options.Seed);
    }
}
