using System.Diagnostics.CodeAnalysis;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Routing;
using Granary.Grains.Models;
using Granary.Grains.Placement;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Runtime;

namespace Granary.Grains.Routing;

/// <summary>Hands out tickets for one model: the choice is <see cref="ReplicaChooser"/>'s, the books are <see cref="BookingLedger"/>'s.</summary>
/// <remarks>
/// A decision waits for nobody; only where nobody can take the request is the model's grain asked for lives that came just now. What is believed is kept up by
/// long polls, one of the model's grain and one of each life, all beside each other. All of it can be rebuilt from them, and what fails to answer is kept as it was.
/// </remarks>
[HomePlacement]
[SuppressMessage("Design", "CA1001", Justification = "An activation is disposed by its deactivation.")]
internal sealed partial class RouterGrain(
    IGrainFactory grains, IOptions<RouterOptions> options, RouterMetrics metrics, TimeProvider time, ILogger<RouterGrain> logger) : Grain, IRouterGrain
{
    /// <summary>Lives of replicas that a request which is in quarantine ended at least.</summary>
    private const int QuarantinedFailures = 2;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxRetryAfter = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan ExpiryPeriod = TimeSpan.FromSeconds(10);

    private readonly ReplicaChooser _chooser = new(options.Value);
    private readonly BookingLedger _bookings = new(options.Value, time);
    private readonly QuarantineList _quarantine = new(time);
    private readonly CancellationTokenSource _ended = new();
    private List<WatchedLife> _lives = [];
    private IGrainTimer? _expiry;

    private string Model { get; set; } = "";

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        Model = GrainKeys.ModelOf(this.GetPrimaryKeyString());
        _ = WatchModelAsync(_ended.Token);
        await FirstLookAsync();
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        await _ended.CancelAsync();
        foreach (var life in _lives) life.Dispose();
        _ended.Dispose();
    }

    public async Task<Ticket> RouteAsync(RouteRequest request, CancellationToken cancellationToken = default)
    {
        var began = time.GetTimestamp();
        if (_quarantine.Find(request.Fingerprint) is { } quarantined) throw Quarantined(quarantined);
        foreach (var lost in request.Lost) Find(lost)?.Lose(request.RequestId, began);

        _bookings.Expire();
        if (_bookings.IsFull) throw new ModelNotReadyException($"Model '{Model}' has {_bookings.Count} requests on their way; that is the most.", RetryAfter);

        var ticket = TryBook(request, out var obstacle);
        if (ticket is null && obstacle != RouteObstacle.TooLong && await LookAsync(cancellationToken)) ticket = TryBook(request, out obstacle);
        metrics.Decided(Model, time.GetElapsedTime(began));
        return ticket ?? throw Refuse(request, obstacle);
    }

    public Task ReleaseAsync(Guid bookingId, int? cachedTokens = null, CancellationToken cancellationToken = default)
    {
        _bookings.Release(bookingId);
        return Task.CompletedTask;
    }

    public async Task QuarantineAsync(ulong fingerprint, string reason, CancellationToken cancellationToken = default)
    {
        if (!_quarantine.Add(fingerprint, reason, ModelWatch.Quarantine)) return;
        try
        {
            await grains.GetGrain<IModelGrain>(Model).QuarantineAsync(fingerprint, reason, cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogQuarantineNotSpread(Model, fingerprint, exception); // This router refuses it; others may have to find out by themselves.
        }
    }

    public Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default) =>
        Task.FromResult(new RouterSnapshot([.. _lives.Select(Describe)]));

    private RoutedReplica Describe(WatchedLife life) => new(life.Life, _bookings.BookedRequests(life.Life), life.Load)
    {
        IsReachable = life.IsReachable,
        LagSeconds = life.HeardAt is { } heard ? time.GetElapsedTime(heard).TotalSeconds : null,
    };

    private WatchedLife? Find(ReplicaLife life) => _lives.Find(known => known.Life == life);

    private Ticket? TryBook(RouteRequest request, out RouteObstacle obstacle)
    {
        var home = _bookings.HomeOf(request.Group);
        var decision = _chooser.Choose(_lives.ConvertAll(View), request, home);
        obstacle = decision.Obstacle;
        if (decision.Index < 0) return null;

        var life = _lives[decision.Index];
        return new Ticket
        {
            BookingId = _bookings.Book(life.Life, life.Life == home ? 0 : request.PromptTokens, request.Group), // The group's first pays for the prompt they share.
            Replica = life.Life,
            PredictedWaitSeconds = decision.PredictedWaitSeconds,
            BlockTokens = life.Descriptor.BlockTokens,
        };
    }

    private ReplicaView View(WatchedLife life)
    {
        var (requests, promptTokens) = _bookings.Unseen(life.Life);
        return new(life.Descriptor, life.Load, life.IsReachable && life.Load is not { IsDraining: true }, requests, promptTokens);
    }

    private GranaryException Refuse(RouteRequest request, RouteObstacle obstacle) => obstacle switch
    {
        RouteObstacle.TooLong => new RequestRefusedException(
            $"The prompt has {request.PromptTokens} tokens; the replicas of model '{Model}' take at most {_lives.Max(life => ReplicaChooser.LongestPrompt(life.Descriptor, request))}.", "prompt"),
        RouteObstacle.Excluded => new ModelNotReadyException($"No replica of model '{Model}' is left that has not refused the request.", Busy(request)),
        RouteObstacle.Unreachable => new ModelNotReadyException($"No replica of model '{Model}' answers.", RetryAfter),
        _ => new ModelNotReadyException($"Model '{Model}' has no replica that is ready.", RetryAfter),
    };

    private static RequestQuarantinedException Quarantined(QuarantinedRequest request) => new(
        $"The request is refused for another {Math.Ceiling(request.Remaining.TotalSeconds)} s: {request.Reason}", QuarantinedFailures);

    /// <summary>When the least loaded of those that refused will have worked off its prompts, within bounds.</summary>
    private TimeSpan Busy(RouteRequest request)
    {
        var decision = _chooser.Choose(_lives.ConvertAll(View), request with { Excluded = [] });
        return TimeSpan.FromSeconds(Math.Clamp(Math.Ceiling(decision.PredictedWaitSeconds), RetryAfter.TotalSeconds, MaxRetryAfter.TotalSeconds));
    }

    /// <summary>Bookings that nobody gives back end by themselves; while there is someone to route to, what is known of them is worth keeping.</summary>
    private void SetExpiry()
    {
        if (_lives.Count == 0)
        {
            _expiry?.Dispose();
            _expiry = null;
            return;
        }

        _expiry ??= this.RegisterGrainTimer(ExpireAsync, new() { DueTime = ExpiryPeriod, Period = ExpiryPeriod, Interleave = true, KeepAlive = true });
    }

    private Task ExpireAsync(CancellationToken cancellationToken)
    {
        var expired = _bookings.Expire();
        if (expired > 0) LogExpired(Model, expired);
        return Task.CompletedTask;
    }
}
