using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Routing;
using Granary.Routing.Policies;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Placement;
using Orleans.Runtime;

namespace Granary.Grains.Routing;

/// <summary>Hands out tickets for one model: what it knows and how it chooses is in its <see cref="RoutingTable"/>.</summary>
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

    private readonly RoutingTable _table = new(options.Value.ToSettings(), new SecondsPolicy(options.Value.ToSettings()), time);
    private List<PolledLife> _lives = [];
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

        _table.Expire();
        if (_table.IsFull) throw new ModelNotReadyException($"Model '{Model}' has {_table.Bookings} requests on their way; that is the most.", RetryAfter);
        var decision = _table.Route(request, Guid.NewGuid(), out var ticket);
        if (ticket is null) throw Refuse(request, decision.Obstacle);

        SetPace();
        return Task.FromResult(ticket);
    }

    public Task ReleaseAsync(Guid bookingId, CancellationToken cancellationToken = default)
    {
        _table.Release(bookingId);
        return Task.CompletedTask;
    }

    public Task SetReplicasAsync(ReplicaDescriptor[] replicas, CancellationToken cancellationToken = default)
    {
        Adopt(replicas);
        return Task.CompletedTask;
    }

    public Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default) => Task.FromResult(_table.Snapshot);

    private void Adopt(ReplicaDescriptor[] replicas)
    {
        var known = _lives.ToDictionary(life => life.Life);
        _lives = [.. replicas.DistinctBy(replica => replica.Replica).Select(replica => known.Remove(replica.Replica, out var life) ? life : new PolledLife(replica))];
        _table.Adopt(replicas);
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
        foreach (var life in _lives.Where(life => !life.HasAnswered)) Poll(life);
        SetPace();
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

    /// <summary>When the least loaded of those that refused will have worked off its prompts, within bounds.</summary>
    private TimeSpan Busy(RouteRequest request)
    {
        var decision = _table.Decide(request with { Excluded = [] });
        return TimeSpan.FromSeconds(Math.Clamp(Math.Ceiling(decision.PredictedWaitSeconds), RetryAfter.TotalSeconds, MaxRetryAfter.TotalSeconds));
    }

    /// <summary>Asks often while requests are booked or a replica does not answer, seldom otherwise.</summary>
    private void SetPace()
    {
        var busy = _table.Bookings > 0 || _lives.Exists(life => !life.Answers);
        if (busy == _busy || _poll is null) return;
        _busy = busy;
        var period = busy ? options.Value.BusyPollPeriod : options.Value.IdlePollPeriod;
        _poll.Change(period, period);
    }

    private Task PollAllAsync(CancellationToken cancellationToken)
    {
        var expired = _table.Expire();
        if (expired > 0) LogExpired(Model, expired);
        foreach (var life in _lives) Poll(life);
        SetPace();
        return Task.CompletedTask;
    }

    /// <summary>Asks one replica for its load, unless a question is already under way. Nobody waits for the answer.</summary>
    private void Poll(PolledLife life)
    {
        if (life.Asking) return;
        life.Asking = true;
        _ = AskAsync(life);
    }

    private async Task AskAsync(PolledLife life)
    {
        var askedAt = time.GetTimestamp();
        try
        {
            var load = await grains.GetGrain<IReplicaGrain>(life.Life.ReplicaId).GetLoadAsync();
            if (load.Epoch == life.Life.Epoch)
            {
                var wanted = _table.WantedEvent(life.Life);
                _table.Report(life.Life, new(load, new() { First = wanted, Next = wanted }), askedAt);
                (life.Answers, life.HasAnswered) = (true, true);
            }
            else
            {
                Miss(life); // Another life answers; the model will tell which.
            }
        }
        catch (Exception exception)
        {
            if (life.Answers) LogReplicaSilent(life.Life.ReplicaId, life.Life.Epoch, exception);
            Miss(life);
        }
        finally
        {
            life.Asking = false;
            SetPace();
        }
    }

    private void Miss(PolledLife life)
    {
        life.Answers = false;
        _table.Miss(life.Life);
    }

    /// <summary>One life, and whether it answers.</summary>
    private sealed class PolledLife(ReplicaDescriptor descriptor)
    {
        public ReplicaDescriptor Descriptor => descriptor;

        public ReplicaLife Life => descriptor.Replica;

        public bool HasAnswered { get; set; }

        public bool Answers { get; set; } = true;

        public bool Asking { get; set; }
    }
}
