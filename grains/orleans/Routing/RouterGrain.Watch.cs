using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Routing;

/// <summary>The long polls by which a router knows what it knows. Each is asked again as soon as it is answered.</summary>
internal sealed partial class RouterGrain
{
    /// <summary>Longest that an activation waits for its first look at the model.</summary>
    private static readonly TimeSpan FirstLook = TimeSpan.FromSeconds(2);

    /// <summary>Longest that a request which nobody can take waits for another look, and how soon after one the next is worth it.</summary>
    private static readonly TimeSpan OtherLook = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LookPause = TimeSpan.FromMilliseconds(100);

    /// <summary>What an answer takes on its way at most, above the wait that was agreed on.</summary>
    private static readonly TimeSpan Way = TimeSpan.FromSeconds(2);

    /// <summary>No answer for so long, and a replica cannot be reached.</summary>
    private static readonly TimeSpan Silence = ReplicaWatch.Heartbeat * 2;

    /// <summary>
    /// Longest that a request waits for lives which nobody has told of yet, or of which none is heard: silos tell a young activation of the model's grain within
    /// about a second, and whoever fell silent all at once had one cause, as a pause of this process, which is mostly over by then.
    /// </summary>
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(2);

    private TaskCompletionSource? _heard; // Null while nobody waits.
    private bool _isRecovering;
    private readonly TaskCompletionSource _looked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task? _looking;
    private long _lookedAt = long.MinValue;
    private long _activation;
    private long _known = ModelWatch.Nothing;

    /// <summary>A model's grain that stays silent delays the activation for a bounded time only; requests are then told that there is no replica, and it is asked on.</summary>
    private async Task FirstLookAsync() => await ((Task)_looked.Task).WaitAsync(FirstLook, time)
        .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);

    private async Task WatchModelAsync(CancellationToken ended)
    {
        var pause = new RetryPause();
        while (!ended.IsCancellationRequested)
        {
            try
            {
                Adopt(await grains.GetGrain<IModelGrain>(Model).WatchAsync(_known, ended).WaitAsync(ModelWatch.Heartbeat + Way, time, ended));
                pause.Reset();
                _looked.TrySetResult();
            }
            catch (Exception exception) when (!ended.IsCancellationRequested)
            {
                if (!pause.IsPausing) LogModelSilent(Model, exception);
                _looked.TrySetResult();
                await pause.WaitAsync(time, ended);
            }
            catch (Exception)
            {
                return; // The activation ends.
            }
        }
    }

    /// <summary>Asks the model for lives of which the poll may not have told yet; those who want to know at the same time share the question.</summary>
    /// <returns>Whether there is something new.</returns>
    private async Task<bool> LookAsync(CancellationToken cancellationToken)
    {
        var before = _known;
        if (_looking is null or { IsCompleted: true })
        {
            if (_lookedAt != long.MinValue && time.GetElapsedTime(_lookedAt) < LookPause) return false;
            _looking = AskModelAsync();
        }

        await _looking.WaitAsync(cancellationToken);
        return _known != before;
    }

    /// <summary>Waits until a life comes or is heard again.</summary>
    /// <param name="began">When the request came: it waits for <see cref="Recovery"/> in all.</param>
    /// <returns>False once the time is over.</returns>
    private async Task<bool> HearAsync(long began, CancellationToken cancellationToken)
    {
        var left = Recovery - time.GetElapsedTime(began);
        if (left <= TimeSpan.Zero) return false;
        _heard ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
        await _heard.Task.WaitAsync(left, time, cancellationToken)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        cancellationToken.ThrowIfCancellationRequested();
        return true;
    }

    /// <summary>A life came, or is heard again: whoever waits may try.</summary>
    private void TellHeard()
    {
        _heard?.SetResult();
        _heard = null;
    }

    private async Task AskModelAsync()
    {
        try
        {
            var status = await grains.GetGrain<IModelGrain>(Model).GetStatusAsync(_ended.Token).WaitAsync(OtherLook, time, _ended.Token);
            if (status.Activation != _activation || status.Version > _known) Adopt(status);
        }
        catch (Exception exception)
        {
            LogModelNotAsked(Model, exception); // The poll goes on.
        }

        _lookedAt = time.GetTimestamp();
    }

    /// <summary>Takes over what the model tells. Lives that a young activation of its grain has never told of stay: it may not have heard of them yet.</summary>
    private void Adopt(ModelStatus status)
    {
        foreach (var request in status.Quarantined) _quarantine.Add(request.Fingerprint, request.Reason, request.Remaining);
        if (status.Version == _known) return;
        (_activation, _known, _isRecovering) = (status.Activation, status.Version, status.IsRecovering);
        var known = _lives.ToDictionary(life => life.Life);
        var lives = new List<WatchedLife>(status.Replicas.Length);
        foreach (var descriptor in status.Replicas.DistinctBy(replica => replica.Replica))
        {
            if (!known.Remove(descriptor.Replica, out var life)) life = Begin(descriptor);
            life.ToldBy = status.Activation;
            lives.Add(life);
        }

        var listed = lives.Select(life => life.Life.ReplicaId).ToHashSet(StringComparer.Ordinal);
        foreach (var life in known.Values)
        {
            if (status.IsRecovering && life.ToldBy != status.Activation && !listed.Contains(life.Life.ReplicaId)) lives.Add(life);
            else life.Dispose();
        }

        SetLives(lives);
        LogReplicas(Model, _lives.Count);
    }

    private void SetLives(List<WatchedLife> lives)
    {
        _lives = lives;
        _table.Adopt(lives.Select(life => life.Descriptor)); // With those that are gone, their caches and bookings.
        SetExpiry();
        TellHeard();
    }

    private WatchedLife Begin(ReplicaDescriptor descriptor)
    {
        var life = new WatchedLife(descriptor);
        _ = WatchAsync(life);
        return life;
    }

    /// <summary>Follows one life until it is over.</summary>
    private async Task WatchAsync(WatchedLife life)
    {
        var replica = grains.GetGrain<IReplicaGrain>(life.Life.ReplicaId);
        var pause = new RetryPause();
        while (!life.IsOver)
        {
            var asked = life.Ask();
            var askedAt = time.GetTimestamp();
            try
            {
                var wanted = _table.WantedEvent(life.Life);
                var news = await replica.WatchAsync(life.Life.Epoch, wanted, asked.Token).WaitAsync(Silence, time, asked.Token);
                if (life.IsOver) return;
                _table.Report(life.Life, news, askedAt);
                TellHeard();
                pause.Reset();
                // A replica paces its news by itself; one that does not is not asked any faster.
                if (ReplicaWatch.Pause - time.GetElapsedTime(askedAt) is var rest && rest > TimeSpan.Zero) await RestAsync(rest, life.Over);
            }
            catch (EpochMismatchException)
            {
                if (life.IsOver) return;
                life.Dispose(); // It never answers again; the model will tell which life is next.
                SetLives(_lives.FindAll(other => other != life));
            }
            catch (Exception) when (asked.IsCancellationRequested)
            {
                // It is over, or was lost to somebody: what counts is a question after that.
            }
            catch (Exception exception)
            {
                if (_table.Miss(life.Life)) LogReplicaSilent(life.Life.ReplicaId, life.Life.Epoch, exception);
                await asked.CancelAsync(); // It may be under way still.
                await pause.WaitAsync(time, life.Over);
            }
        }
    }

    private async Task RestAsync(TimeSpan rest, CancellationToken cancellationToken) => await Task.Delay(rest, time, cancellationToken)
        .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
}
