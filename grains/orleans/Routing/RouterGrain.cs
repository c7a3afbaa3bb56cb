using System.Diagnostics.CodeAnalysis;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Routing;
using Granary.Grains.Models;
using Granary.Grains.Placement;
using Granary.Routing;
using Granary.Routing.Policies;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Runtime;

namespace Granary.Grains.Routing;

/// <summary>Hands out tickets for one model: what it knows and how it chooses is in its <see cref="RoutingTable"/>.</summary>
/// <remarks>
/// A decision waits for nobody; only where nobody can take the request is the model's grain asked for lives that came just now, and where nobody
/// is heard it waits for a moment. What is believed is kept up by
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

    private readonly QuarantineList _quarantine = new(time);
    private readonly CancellationTokenSource _ended = new();
    private List<WatchedLife> _lives = [];
    private IGrainTimer? _expiry;

    private RoutingTable _table = null!; // Made on activation, before anybody asks.

    private string Model { get; set; } = "";

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        Model = GrainKeys.ModelOf(this.GetPrimaryKeyString());
        var settings = options.Value.ToSettings();
        // Each router draws numbers of its own, and the same ones again.
        _table = new(settings, RoutingPolicies.Create(options.Value.Policy, settings, new Random((int)this.GetGrainId().GetUniformHashCode())), time);
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
        foreach (var lost in request.Lost) Lose(lost, request.RequestId);
        request = request with { Lost = [], BookingId = request.BookingId == Guid.Empty ? Guid.NewGuid() : request.BookingId };

        _table.Expire();
        var obstacle = Book(request, out var ticket);
        metrics.Decided(Model, time.GetElapsedTime(began));
        if (ticket is null && obstacle != RouteObstacle.TooLong && await LookAsync(cancellationToken)) obstacle = Book(request, out ticket);
        while (ticket is null && MayPass(obstacle) && await HearAsync(began, cancellationToken)) obstacle = Book(request, out ticket);
        return ticket ?? throw Refuse(request, obstacle);
    }

    public Task ReleaseAsync(Guid bookingId, int? cachedTokens = null, CancellationToken cancellationToken = default)
    {
        var booking = _table.Release(bookingId);
        if (booking is not null && cachedTokens is { } actual) metrics.Told(Model, booking.CachedBlocks * booking.Request.BlockTokens, actual);
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

    public Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default) => Task.FromResult(_table.Snapshot);

    /// <summary>Whether what is in a request's way may be gone in a moment, without anybody's doing.</summary>
    private bool MayPass(RouteObstacle obstacle) =>
        obstacle == RouteObstacle.Unreachable || (_lives.Count == 0 && (_isRecovering || _known == ModelWatch.Nothing));

    /// <summary>Books a request where it goes, once.</summary>
    /// <returns>What is in its way where it gets no ticket.</returns>
    private RouteObstacle Book(RouteRequest request, out Ticket? ticket)
    {
        var id = request.BookingId;
        if (_table.HasEnded(id)) throw new RequestRefusedException($"Booking {id} has been given back already.", "booking_id"); // Nobody waits for the answer.
        ticket = _table.Find(id, request);
        if (ticket is not null) return RouteObstacle.None;
        if (_table.IsFull) throw new ModelNotReadyException($"Model '{Model}' has {_table.Bookings} requests on their way; that is the most.", RetryAfter);
        return _table.Route(request, id, out ticket).Obstacle;
    }

    /// <summary>A request was lost there: nobody is sent to that life before it has answered a question that is asked from now on.</summary>
    private void Lose(ReplicaLife replica, string requestId)
    {
        if (_lives.Find(life => life.Life == replica) is not { } life || !life.IsNewLoss(requestId)) return;
        if (_table.Miss(replica)) life.AskAgain();
    }

    private GranaryException Refuse(RouteRequest request, RouteObstacle obstacle) => obstacle switch
    {
        RouteObstacle.TooLong => new RequestRefusedException(
            $"The prompt has {request.PromptTokens} tokens; the replicas of model '{Model}' take at most {_lives.Max(life => ReplicaChooser.LongestPrompt(life.Descriptor, request))}.", "prompt"),
        RouteObstacle.Excluded => new ModelNotReadyException($"No replica of model '{Model}' is left that has not refused the request.", Busy(request)),
        RouteObstacle.Draining => new ModelNotReadyException($"Every replica of model '{Model}' that answers will end.", RetryAfter),
        RouteObstacle.Unreachable => new ModelNotReadyException($"No replica of model '{Model}' answers.", RetryAfter),
        _ => new ModelNotReadyException($"Model '{Model}' has no replica that is ready.", RetryAfter),
    };

    private static RequestQuarantinedException Quarantined(QuarantinedRequest request) => new(
        $"The request is refused for another {Math.Ceiling(request.Remaining.TotalSeconds)} s: {request.Reason}", QuarantinedFailures);

    /// <summary>When the least loaded of those that refused will have worked off its prompts, within bounds.</summary>
    private TimeSpan Busy(RouteRequest request)
    {
        var decision = _table.Decide(request with { Excluded = [] });
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
        var expired = _table.Expire();
        if (expired > 0) LogExpired(Model, expired);
        return Task.CompletedTask;
    }
}
