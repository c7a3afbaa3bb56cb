using System.Collections.Concurrent;
using System.Collections.Immutable;

namespace Orleans.Runtime;

/// <summary>The silos of one cluster id and service id in this process, and the directory of their activations.</summary>
internal sealed class InProcessCluster
{
    private static readonly ConcurrentDictionary<(string Cluster, string Service), InProcessCluster> All = new();

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<GrainId, Activation> _directory = new();
    private readonly ConcurrentDictionary<GrainId, ObserverTarget> _observers = new();
    private readonly Dictionary<SiloAddress, ClusterMember> _members = [];
    private readonly Dictionary<SiloAddress, SiloRuntime> _silos = [];
    private ImmutableArray<SiloRuntime> _active = [];
    private long _version;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private InProcessCluster(string clusterId)
    {
        ClusterId = clusterId;
        Failures = new FailureDetector(this);
    }

    public string ClusterId { get; }

    /// <summary>The world's clock, which no silo's faults touch.</summary>
    public TimeProvider Time { get; set; } = TimeProvider.System;

    public InProcessNetwork Network { get; } = new();

    public FailureDetector Failures { get; }

    public InProcessStorage Storage { get; } = new();

    /// <summary>Silos that calls may be placed on, oldest first.</summary>
    public ImmutableArray<SiloRuntime> ActiveSilos => _active;

    /// <summary>Completes at the next change of the membership.</summary>
    public Task Changed
    {
        get
        {
            lock (_gate)
            {
                return _changed.Task;
            }
        }
    }

    public event Action<SiloAddress, SiloStatus>? StatusChanged;

    public static InProcessCluster Of(string clusterId, string serviceId) => All.GetOrAdd((clusterId, serviceId), static key => new InProcessCluster(key.Cluster));

    public void SetStatus(SiloRuntime silo, SiloStatus status)
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            _silos[silo.Address] = silo;
            _members[silo.Address] = new ClusterMember(silo.Address, status, silo.Name);
            _active = [.. _silos.Values.Where(other => _members[other.Address].Status == SiloStatus.Active).OrderBy(other => other.Address)];
            _version++;
            changed = _changed;
            _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        changed.SetResult();
        StatusChanged?.Invoke(silo.Address, status);
    }

    public SiloRuntime? SiloAt(SiloAddress address)
    {
        lock (_gate)
        {
            return _silos.GetValueOrDefault(address);
        }
    }

    public ClusterMembershipSnapshot Snapshot()
    {
        lock (_gate)
        {
            return new ClusterMembershipSnapshot(_members.ToImmutableDictionary(), new MembershipVersion(_version));
        }
    }

    public CallTarget? Find(GrainId id) =>
        _directory.TryGetValue(id, out var activation) ? activation
        : _observers.TryGetValue(id, out var observer) ? observer
        : null;

    public Activation? FindActivation(GrainId id) => _directory.GetValueOrDefault(id);

    public void Add(ObserverTarget observer) => _observers[observer.Id] = observer;

    public void Remove(ObserverTarget observer) => _observers.TryRemove(observer.Id, out _);

    public void Remove(Activation activation) => _directory.TryRemove(new KeyValuePair<GrainId, Activation>(activation.GrainId, activation));

    public ICollection<KeyValuePair<GrainId, Activation>> Directory => _directory.ToArray();

    public async ValueTask<CallTarget> GetOrPlaceAsync(Call call, RuntimeClient caller)
    {
        var id = call.Target;
        if (id.Type == ObserverTarget.Type)
        {
            return _observers.TryGetValue(id, out var observer) ? observer : throw new ClientNotAvailableException(id);
        }

        if (_directory.TryGetValue(id, out var activation))
        {
            if (!activation.Silo.IsGone || activation.Silo.IsCrashed) return activation;
            Remove(activation); // It was entered while its silo ended.
        }

        // A client's calls are placed by a silo as well: its gateway, always the same for a grain.
        var origin = caller.Silo ?? GatewayFor(id);
        var grainClass = GrainInterfaces.ClassOf(id.Type);
        var target = new Placement.PlacementTarget(id, call.Context is { } context ? new(context) : [], call.Method.Interface.InterfaceType, 0);
        var silo = await origin.Placement.PlaceAsync(grainClass, target).ConfigureAwait(false);
        if (origin.Placement.StrategyOf(grainClass) is StatelessWorkerPlacement stateless) return silo.StatelessWorker(grainClass, id, stateless.MaxLocal);
        return silo.IsGone
            ? throw new OrleansMessageRejectionException($"{silo.Name} stopped while {id} was placed on it.")
            : _directory.GetOrAdd(id, static (id, args) => new Activation(args.silo, args.grainClass, id), (silo, grainClass));
    }

    public SiloRuntime GatewayFor(GrainId id)
    {
        var silos = _active.RemoveAll(silo => silo.IsGone);
        return silos.Length == 0
            ? throw new SiloUnavailableException($"The cluster {ClusterId} has no active silo in this process.")
            : silos[(int)(id.GetUniformHashCode() % (uint)silos.Length)];
    }
}
