using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.StandIn.Simulation;

namespace Orleans.Runtime;

/// <summary>One silo.</summary>
internal sealed partial class SiloRuntime : RuntimeClient, ILocalSiloDetails, IGrainRuntime
{
    private readonly GrainCollectionOptions _collection;
    private readonly ConcurrentDictionary<Activation, byte> _activations = new();
    private readonly Dictionary<GrainId, List<Activation>> _workers = [];
    private ITimer? _collector;
    private readonly List<Call> _unanswered = []; // Since it crashed, until the membership finds out.
    private volatile bool _gone;
    private volatile bool _declared;

    public SiloRuntime(
        IServiceProvider services, IOptions<ClusterOptions> cluster, IOptions<SiloOptions> silo, IOptions<EndpointOptions> endpoints,
        IOptions<SiloMessagingOptions> messaging, IOptions<GrainCollectionOptions> collection, IOptions<SimulationOptions> simulation,
        ActivityPropagation activities, TimeProvider time, ILogger<SiloRuntime> logger)
        : base(InProcessCluster.Of(cluster.Value.ClusterId, cluster.Value.ServiceId), silo.Value.SiloName, messaging.Value, time, logger,
            simulation.Value.Seed ^ StableHash(silo.Value.SiloName))
    {
        Services = services;
        PropagateActivities = activities.IsEnabled;
        MaxEnqueuedRequests = messaging.Value.MaxEnqueuedRequestsHardLimit;
        _collection = collection.Value;
        var address = endpoints.Value.AdvertisedIPAddress ?? System.Net.IPAddress.Loopback;
        Address = SiloAddress.New(address, endpoints.Value.SiloPort, SiloAddress.AllocateNewGeneration());
        GatewayAddress = SiloAddress.New(address, endpoints.Value.GatewayPort, Address.Generation);
        ClusterId = cluster.Value.ClusterId;
        GrainFactory = new GrainFactory(this, services);
        TimerRegistry = new TimerRegistry();
        Placement = new PlacementService(this);
        Storage = new GrainStateFactory(this);
        StorageNames = [.. services.GetServices<StorageName>().Select(storage => storage.Name)];
        Metadata = services.GetRequiredService<IOptions<MembershipService.SiloMetadata.SiloMetadataOptions>>().Value.Build();
    }

    public IServiceProvider Services { get; }

    public SiloAddress Address { get; }

    public SiloAddress GatewayAddress { get; }

    public string ClusterId { get; }

    public string DnsHostName => Environment.MachineName;

    public PlacementService Placement { get; }

    public GrainStateFactory Storage { get; }

    public MembershipService.SiloMetadata.SiloMetadata Metadata { get; }

    public GrainFactory GrainFactory { get; }

    public Timers.ITimerRegistry TimerRegistry { get; }

    public HashSet<string> StorageNames { get; }

    public int MaxEnqueuedRequests { get; }

    public TimeSpan ActivationTimeout => _collection.ActivationTimeout;

    public TimeSpan DeactivationTimeout => _collection.DeactivationTimeout;

    public SiloStatus Status { get; private set; } = SiloStatus.Created;

    public override SiloRuntime Silo => this;

    public override bool IsGone => _gone;

    public override bool IsCrashed => _gone && !_declared;

    public int ActivationCount => _activations.Count;

    SiloAddress ILocalSiloDetails.SiloAddress => Address;

    SiloAddress IGrainRuntime.SiloAddress => Address;

    string IGrainRuntime.SiloIdentity => Address.ToString();

    IGrainFactory IGrainRuntime.GrainFactory => GrainFactory;

    IServiceProvider IGrainRuntime.ServiceProvider => Services;

    TimeProvider IGrainRuntime.TimeProvider => Time;

    public void DeactivateOnIdle(IGrainContext grainContext) =>
        grainContext.Deactivate(new(DeactivationReasonCode.ApplicationRequested, $"{nameof(DeactivateOnIdle)} was called."));

    public void DelayDeactivation(IGrainContext grainContext, TimeSpan timeSpan) => ((Activation)grainContext).DelayDeactivation(timeSpan);

    public Core.IStorage<TGrainState> GetStorage<TGrainState>(IGrainContext grainContext) =>
        Storage.Make<TGrainState>(((Activation)grainContext).GrainId, "state", null);

    public void Start()
    {
        SetStatus(SiloStatus.Joining);
        _collector = Time.CreateTimer(static silo => ((SiloRuntime)silo!).CollectIdle(), this, _collection.CollectionQuantum, _collection.CollectionQuantum);
        SetStatus(SiloStatus.Active);
    }

    /// <summary>Ends every activation in order; calls that arrive meanwhile go to other silos.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_gone) return;
        SetStatus(SiloStatus.ShuttingDown);
        _collector?.Dispose();
        try
        {
            while (!_activations.IsEmpty)
            {
                Activation[] activations = [.. _activations.Keys];
                foreach (var activation in activations) activation.Deactivate(new(DeactivationReasonCode.ShuttingDown, "This process is terminating."), cancellationToken);
                // An activation that is still being activated ends one round later.
                await Task.WhenAny(Task.WhenAll(activations.Select(activation => activation.Deactivated)), Task.Delay(TimeSpan.FromMilliseconds(50), Time, cancellationToken))
                    .WaitAsync(cancellationToken).ConfigureAwait(false);
                cancellationToken.ThrowIfCancellationRequested();
            }
        }
        catch (OperationCanceledException)
        {
            Kill();
            return;
        }

        _declared = true;
        _gone = true;
        SetStatus(SiloStatus.Dead);
    }

    /// <summary>Ends the silo as a crash does: no turn runs any more, and callers in other silos learn it.</summary>
    public void Kill()
    {
        Crash();
        Declare();
    }

    /// <summary>Ends the silo and tells nobody: what others sent it stays unanswered, and what is sent from now on is refused.</summary>
    public void Crash()
    {
        if (_gone) return;
        _gone = true;
        _collector?.Dispose();
        foreach (var activation in _activations.Keys) _unanswered.AddRange(activation.Kill());
        Cluster.Failures.Look();
    }

    /// <summary>Ends one activation as a crash does; its callers are told.</summary>
    public void Lose(GrainId id)
    {
        if (Cluster.FindActivation(id) is not { } activation || activation.Silo != this) return;
        var calls = activation.Kill();
        Remove(activation);
        foreach (var call in calls) call.Reject(new OrleansMessageRejectionException($"{activation} was lost: {call}"));
    }

    /// <summary>The membership finds that the silo is dead, and so do its callers in other silos.</summary>
    public void Declare()
    {
        if (_declared) return;
        _declared = true;
        foreach (var activation in _activations.Keys) Cluster.Remove(activation);
        SetStatus(SiloStatus.Dead);
        foreach (var call in _unanswered)
        {
            // A client has no membership to tell it; its call ends with the response timeout.
            if (call.Caller.Silo is not null and not { IsGone: true })
            {
                call.Reject(new SiloUnavailableException($"The target silo became unavailable for message: {call}."));
            }
        }

        _unanswered.Clear();
        _activations.Clear();
    }

    /// <summary>The membership declares it dead although it runs; as soon as it can know, its process ends.</summary>
    public void Evict()
    {
        Kill();
        if (!IsPaused) EndHost();
    }

    /// <summary>Stops and resumes every turn, as a frozen machine would; messages wait.</summary>
    public void Pause(bool paused)
    {
        IsPaused = paused;
        foreach (var activation in _activations.Keys) activation.Scheduler.Pause(paused);
        if (paused) Cluster.Network.Freeze(this);
        else Cluster.Network.Thaw(this);
        if (!paused && _gone) EndHost();
    }

    private void EndHost() => _ = Task.Run(() => Services.GetRequiredService<IHost>().StopAsync(new CancellationToken(canceled: true)));

    public bool IsPaused { get; private set; }

    public void Register(Activation activation)
    {
        _activations[activation] = 0;
        if (IsPaused) activation.Scheduler.Pause(true);
    }

    public void Remove(Activation activation)
    {
        _activations.TryRemove(activation, out _);
        Cluster.Remove(activation);
        lock (_workers)
        {
            if (_workers.TryGetValue(activation.GrainId, out var workers)) workers.Remove(activation);
        }
    }

    /// <summary>The least busy worker of this silo; a new one while all are busy and there may be more.</summary>
    public Activation StatelessWorker(GrainClass grainClass, GrainId id, int maxLocal)
    {
        lock (_workers)
        {
            if (!_workers.TryGetValue(id, out var workers)) _workers[id] = workers = [];
            workers.RemoveAll(worker => worker.IsDeactivating);
            var best = workers.MinBy(worker => worker.Load);
            if (best is not null && (workers.Count >= maxLocal || best.Load == 0)) return best;
            var created = new Activation(this, grainClass, id);
            workers.Add(created);
            return created;
        }
    }

    public void LogTimerFailure(string activation, Exception exception) => LogTimerFailed(Logger, activation, exception);

    public void LogStreamStopFailure(string activation, Exception exception) => LogStreamStopFailed(Logger, activation, exception);

    private static int StableHash(string text)
    {
        var hash = 2166136261u;
        foreach (var c in text) hash = (hash ^ c) * 16777619u;
        return (int)hash;
    }

    private void SetStatus(SiloStatus status)
    {
        Status = status;
        Cluster.SetStatus(this, status);
    }

    private void CollectIdle() => Collect(_collection.CollectionAge);

    public void Collect(TimeSpan age)
    {
        foreach (var activation in _activations.Keys)
        {
            if (activation.IsCollectable(age)) activation.Deactivate(new(DeactivationReasonCode.ActivationIdle, "Activation has been idle."));
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "A timer callback of {Activation} failed; its schedule goes on")]
    private static partial void LogTimerFailed(ILogger logger, string activation, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "An enumeration of {Activation} failed while it was stopped")]
    private static partial void LogStreamStopFailed(ILogger logger, string activation, Exception exception);
}
