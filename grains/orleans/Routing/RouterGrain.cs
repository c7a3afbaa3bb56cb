using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Placement;
using Orleans.Runtime;

namespace Granary.Grains.Routing;

/// <summary>Hands out tickets for one model: the choice is <see cref="ReplicaChooser"/>'s, the books are <see cref="BookingLedger"/>'s.</summary>
/// <remarks>
/// No call waits for another grain: loads are asked for by a timer that interleaves, each replica on its own, so that one that hangs
/// delays nobody. All state can be rebuilt: the lives from the model's grain, the loads from the replicas.
/// </remarks>
[PreferLocalPlacement]
internal sealed partial class RouterGrain(
    IGrainFactory grains, IOptions<RouterOptions> options, TimeProvider time, ILogger<RouterGrain> logger) : Grain, IRouterGrain
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxRetryAfter = TimeSpan.FromSeconds(30);

    private readonly ReplicaChooser _chooser = new(options.Value);
    private readonly BookingLedger _bookings = new(options.Value, time);
    private List<RoutedLife> _lives = [];
    private IGrainTimer? _poll;
    private bool _busy;

    private string Model => this.GetPrimaryKeyString();

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        try
        {
            var status = await grains.GetGrain<IModelGrain>(Model).GetStatusAsync(cancellationToken);
            Adopt(status.Replicas);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogModelSilent(Model, exception); // It will tell by itself when anything changes.
        }
    }

    public Task<Ticket> RouteAsync(RouteRequest request, CancellationToken cancellationToken = default)
    {
        foreach (var life in _lives)
        {
            // Whoever was turned away there knows more than the last report.
            if (Array.IndexOf(request.Excluded, life.Life) >= 0) Poll(life);
        }

        _bookings.Expire();
        if (_bookings.IsFull) throw new ModelNotReadyException($"Model '{Model}' has {_bookings.Count} requests on their way; that is the most.", RetryAfter);

        var views = _lives.ConvertAll(View);
        var home = _bookings.HomeOf(request.Group);
        var decision = _chooser.Choose(views, request, home);
        if (decision.Index < 0) throw Refuse(request, decision.Obstacle);

        var replica = _lives[decision.Index].Life;
        var ticket = new Ticket
        {
            BookingId = _bookings.Book(replica, replica == home ? 0 : request.PromptTokens, request.Group), // The group's first pays for the prompt they share.
            Replica = replica,
            PredictedWaitSeconds = decision.PredictedWaitSeconds,
        };
        SetPace();
        return Task.FromResult(ticket);
    }

    public Task ReleaseAsync(Guid bookingId, CancellationToken cancellationToken = default)
    {
        _bookings.Release(bookingId);
        return Task.CompletedTask;
    }

    public Task SetReplicasAsync(ReplicaDescriptor[] replicas, CancellationToken cancellationToken = default)
    {
        Adopt(replicas);
        return Task.CompletedTask;
    }

    public Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default) =>
        Task.FromResult(new RouterSnapshot([.. _lives.Select(life => new RoutedReplica(life.Life, _bookings.BookedRequests(life.Life), life.Load))]));

    private void Adopt(ReplicaDescriptor[] replicas)
    {
        var known = _lives.ToDictionary(life => life.Life);
        _lives = [.. replicas.DistinctBy(replica => replica.Replica).Select(replica => known.Remove(replica.Replica, out var life) ? life : new RoutedLife(replica))];
        foreach (var gone in known.Keys) _bookings.Drop(gone);
        LogReplicas(Model, _lives.Count);
        if (_lives.Count == 0)
        {
            _poll?.Dispose();
            (_poll, _busy) = (null, false);
            return;
        }

        // KeepAlive: while there is someone to route to, what is known of them is worth keeping.
        _poll ??= this.RegisterGrainTimer(
            PollAllAsync, new() { DueTime = options.Value.IdlePollPeriod, Period = options.Value.IdlePollPeriod, Interleave = true, KeepAlive = true });
        foreach (var life in _lives.Where(life => life.Load is null)) Poll(life);
        SetPace();
    }

    private ReplicaView View(RoutedLife life)
    {
        var (requests, promptTokens) = _bookings.Unseen(life.Life);
        return new(life.Descriptor, life.Load, life.Reachable, requests, promptTokens);
    }

    private GranaryException Refuse(RouteRequest request, RouteObstacle obstacle) => obstacle switch
    {
        RouteObstacle.TooLong => new RequestRefusedException(
            $"The prompt has {request.PromptTokens} tokens; the replicas of model '{Model}' take at most {_lives.Max(life => ReplicaChooser.LongestPrompt(life.Descriptor, request))}.", "prompt"),
        RouteObstacle.Excluded => new ModelNotReadyException($"No replica of model '{Model}' is left that has not refused the request.", Busy(request)),
        RouteObstacle.Unreachable => new ModelNotReadyException($"No replica of model '{Model}' answers.", RetryAfter),
        _ => new ModelNotReadyException($"Model '{Model}' has no replica that is ready.", RetryAfter),
    };

    /// <summary>When the least loaded of those that refused will have worked off its prompts, within bounds.</summary>
    private TimeSpan Busy(RouteRequest request)
    {
        var decision = _chooser.Choose(_lives.ConvertAll(View), request with { Excluded = [] });
        return TimeSpan.FromSeconds(Math.Clamp(Math.Ceiling(decision.PredictedWaitSeconds), RetryAfter.TotalSeconds, MaxRetryAfter.TotalSeconds));
    }

    /// <summary>Asks often while requests are booked or a replica does not answer, seldom otherwise.</summary>
    private void SetPace()
    {
        var busy = _bookings.Count > 0 || _lives.Exists(life => !life.Reachable);
        if (busy == _busy || _poll is null) return;
        _busy = busy;
        var period = busy ? options.Value.BusyPollPeriod : options.Value.IdlePollPeriod;
        _poll.Change(period, period);
    }

    private Task PollAllAsync(CancellationToken cancellationToken)
    {
        var expired = _bookings.Expire();
        if (expired > 0) LogExpired(Model, expired);
        foreach (var life in _lives) Poll(life);
        SetPace();
        return Task.CompletedTask;
    }

    /// <summary>Asks one replica for its load, unless a question is already under way. Nobody waits for the answer.</summary>
    private void Poll(RoutedLife life)
    {
        if (life.Asking) return;
        life.Asking = true;
        _ = AskAsync(life);
    }

    private async Task AskAsync(RoutedLife life)
    {
        var askedAt = time.GetTimestamp();
        try
        {
            var load = await grains.GetGrain<IReplicaGrain>(life.Life.ReplicaId).GetLoadAsync();
            if (load.Epoch == life.Life.Epoch)
            {
                life.Report(load);
                _bookings.Reported(life.Life, askedAt);
            }
            else
            {
                life.Miss(); // Another life answers; the model will tell which.
            }
        }
        catch (Exception exception)
        {
            if (life.Reachable) LogReplicaSilent(life.Life.ReplicaId, life.Life.Epoch, exception);
            life.Miss();
        }
        finally
        {
            life.Asking = false;
            SetPace();
        }
    }

    /// <summary>One life and what was last heard of it.</summary>
    private sealed class RoutedLife(ReplicaDescriptor descriptor)
    {
        public ReplicaDescriptor Descriptor => descriptor;

        public ReplicaLife Life => descriptor.Replica;

        public ReplicaLoad? Load { get; private set; }

        public bool Reachable { get; private set; } = true;

        public bool Asking { get; set; }

        public void Report(ReplicaLoad load) => (Load, Reachable) = (load, true);

        public void Miss() => Reachable = false;
    }
}
