using System.Diagnostics.CodeAnalysis;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Placement;
using Orleans.Runtime;

namespace Granary.Grains.Models;

/// <summary>Keeps a model at the wanted number of replicas and tells its routers which lives there are.</summary>
/// <remarks>
/// Calls interleave: what may take long is done for one replica at a time, behind its <see cref="ModelReplica.Gate"/>, and delays no other. Everything else is
/// decided between two awaits. What is wanted lives in this activation; whoever deploys repeats it after a restart, and meanwhile routers keep what they know.
/// </remarks>
[PreferLocalPlacement]
[SuppressMessage("Design", "CA1001", Justification = "An activation is disposed by its deactivation.")]
internal sealed partial class ModelGrain(
    IGrainFactory grains, IModelFiles files, ReplicaPlanner planner, IClusterMembershipService membership, ILocalSiloDetails silo,
    IOptions<ModelGrainOptions> options, TimeProvider time, ILogger<ModelGrain> logger) : Grain, IModelGrain
{
    private readonly CancellationTokenSource _ended = new(); // The activation, or before it the silo's membership.
    private readonly ModelNews _news = new(time);
    private readonly QuarantineList _quarantine = new(time);
    private readonly SortedDictionary<string, DeploymentSpec> _shares = new(StringComparer.Ordinal); // By offering silo; under "" what is wanted of the cluster as a whole.
    private readonly List<ModelReplica> _replicas = []; // Those of a share by number.
    private readonly SemaphoreSlim _planning = new(1, 1); // Plans are made from what is free: one at a time, until it is taken.
    private IGrainTimer? _watch;
    private bool _recovering = true;
    private ModelCard? _card; // Set once a replica lives; what was opened stays known while its replicas are away.

    private string Model => this.GetPrimaryKeyString();

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _ = WatchMembershipAsync(_ended.Token);
        this.RegisterGrainTimer(EndRecoveryAsync, new() { DueTime = options.Value.RecoveryTime, Period = Timeout.InfiniteTimeSpan, Interleave = true });
        return Task.CompletedTask;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        await _ended.CancelAsync();
        _ended.Dispose();
        _planning.Dispose();
    }

    public async Task<ModelStatus> DeployAsync(DeploymentSpec spec, CancellationToken cancellationToken = default)
    {
        DeploymentRules.Require(spec);
        if (spec.Offer is not null) await RequireMemberAsync(spec.Offer);
        var surplus = Want(spec);
        SetWatch();
        await RetireAsync(surplus, cancellationToken); // First: its cores are free for what comes.

        var failures = await Task.WhenAll(_replicas.Where(replica => replica.Share == spec.Offer).ToList().Select(replica => TryBringAsync(replica, cancellationToken)));
        if (Array.Find(failures, failure => failure is not null) is { } failure) throw new ModelLoadException(failure.Message);
        await AnnounceAsync(cancellationToken);
        return Status();
    }

    public Task<ModelCard> GetCardAsync(CancellationToken cancellationToken = default) => Task.FromResult(_card ?? throw NotOpened());

    public async Task<ModelTextFiles> GetTextFilesAsync(CancellationToken cancellationToken = default) =>
        await files.FindTextFilesAsync(Model, cancellationToken) ?? throw NotOpened();

    public Task<ModelStatus> GetStatusAsync(CancellationToken cancellationToken = default) => Task.FromResult(Status());

    public async Task<ModelStatus> WatchAsync(long known, CancellationToken cancellationToken = default)
    {
        if (_ended.IsCancellationRequested) throw Ending();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _ended.Token);
        try
        {
            await _news.WaitAsync(known, either.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw Ending();
        }

        return Status();

        // The next activation must not wait for this one's watchers.
        ModelNotReadyException Ending() => new($"The grain of model '{Model}' is moving.", options.Value.RetryPause);
    }

    public Task QuarantineAsync(ulong fingerprint, string reason, CancellationToken cancellationToken = default)
    {
        if (_quarantine.Add(fingerprint, reason, ModelWatch.Quarantine))
        {
            LogQuarantined(Model, fingerprint, reason);
            _news.Changed();
        }

        return Task.CompletedTask;
    }

    public Task ReportEndedAsync(ReplicaLife life, string reason, CancellationToken cancellationToken = default)
    {
        var replica = _replicas.Find(replica => replica.Living?.Replica == life);
        if (replica is null) return Task.CompletedTask; // An earlier life, or one that is no longer wanted.
        End(replica, $"Its life of epoch {life.Epoch} failed: {reason}");
        Publish();
        RecoverMissing();
        SetWatch();
        return Task.CompletedTask;
    }

    public Task ReportDrainingAsync(ReplicaLife life, CancellationToken cancellationToken = default)
    {
        var replica = _replicas.Find(replica => replica.Living?.Replica == life);
        // A whole replica has its own worker and can be nowhere else; one that this grain ends is not wanted as it is.
        if (replica is null || replica.IsEnding || SpecOf(replica).IsWhole) return Task.CompletedTask;
        LogDraining(life.ReplicaId, life.Epoch);
        replica.Leave();
        Publish();
        RecoverMissing();
        SetWatch();
        return Task.CompletedTask;
    }

    private ModelStatus Status() => new(Model, _replicas.Count, _news.Lives)
    {
        Missing = [.. _replicas.Where(replica => replica.Living is null).Select(replica => replica.ToMissing())],
        Offers = [.. _shares.Keys.Where(offer => offer.Length > 0)],
        Version = _news.Version,
        Activation = _news.Activation,
        IsRecovering = _recovering,
        Quarantined = _quarantine.ToArray(),
    };

    /// <summary>Tells whoever watches, where something has changed.</summary>
    private void Publish() =>
        _news.Publish([.. _replicas.Where(replica => !replica.IsEnding).Select(replica => replica.Living).OfType<ReplicaDescriptor>()]);

    /// <summary>Whoever was going to repeat what is wanted has: what watchers know and this activation does not is over.</summary>
    private Task EndRecoveryAsync(CancellationToken cancellationToken)
    {
        _recovering = false;
        _news.Changed();
        return Task.CompletedTask;
    }

    /// <summary>Tells the index that the model is served, or that it is no more. The index forgets whom it does not hear of.</summary>
    private async Task AnnounceAsync(CancellationToken cancellationToken)
    {
        var index = grains.GetGrain<IModelIndexGrain>(0);
        try
        {
            if (_replicas.Count == 0)
            {
                _card = null;
                await index.WithdrawAsync(Model, cancellationToken);
                return;
            }

            if (_news.Lives is { Length: > 0 } living && await files.FindCardAsync(Model, cancellationToken) is { } card)
                _card = card with { ContextLength = Math.Min(card.ContextLength, living.Min(replica => replica.ContextLength)) };
            if (_card is not null) await index.AnnounceAsync(_card, cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // The model answers whoever knows its name; the watch announces it again.
            LogAnnounceFailed(Model, exception);
        }
    }

    private ModelNotReadyException NotOpened() => new($"Model '{Model}' has not been opened yet.", options.Value.RetryPause);
}
