using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Sessions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace Granary.Grains.Sessions;

/// <summary>Keeps one conversation in the default storage, with one writing a turn.</summary>
/// <remarks>
/// What is in memory is the truth while the activation lives: a writing that fails is told and leaves it ahead of the storage, and the next
/// one writes all of it. A silo that is lost then costs the turns that were not written, never an answer.
/// </remarks>
internal sealed partial class SessionGrain(
    [PersistentState("session")] IPersistentState<SessionState> stored, SessionMemory memory, IGrainFactory grains,
    IOptions<SessionGrainOptions> options, TimeProvider time, ILogger<SessionGrain> logger) : Grain, ISessionGrain
{
    private readonly SessionGrainOptions _options = options.Value;
    private IGrainTimer? _end;
    private SessionPin _pin = null!; // Set at activation.

    private string Key => this.GetPrimaryKeyString();

    private SessionState State => stored.State;

    /// <summary>The session as long as it lives.</summary>
    private SessionRecord? Session => State.ExpiresAt > time.GetUtcNow() ? State.Session : null;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        RefuseNewer();
        _pin = new SessionPin(Key, _options.PinLease, grains, time, logger);
        if (stored.RecordExists) Hold();
        return Task.CompletedTask;
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        memory.Remove(Key);
        return Task.CompletedTask;
    }

    public async Task<SessionTurnStart> BeginTurnAsync(string? after = null, CancellationToken cancellationToken = default)
    {
        if (Session is not { } session)
        {
            if (stored.RecordExists) await ForgetExpiredAsync();
            return new(State.Version, null, IsBehindLast: true);
        }

        // It is in use; the commit writes it.
        State.ExpiresAt = time.GetUtcNow() + _options.IdleLifetime;
        Hold();
        _pin.Renew(session);
        return new(State.Version, session.Owner, after is null || after == session.LastTurnId);
    }

    public async Task<SessionInfo> CommitTurnAsync(SessionTurn turn, CancellationToken cancellationToken = default)
    {
        if (turn.TokenIds.Length > _options.MaxHistoryTokens)
        {
            throw new RequestRefusedException(
                $"The history of session '{Key}' would have {turn.TokenIds.Length} tokens; at most {_options.MaxHistoryTokens} are kept.", "session_id");
        }

        try
        {
            Apply(turn);
            await stored.WriteStateAsync(cancellationToken);
        }
        catch (InconsistentStateException exception)
        {
            // Another activation wrote, or a writing that was given up came through after all: on top of what is there now.
            LogOvertaken(Key, exception);
            await RereadAsync(cancellationToken);
            Apply(turn);
            await stored.WriteStateAsync(cancellationToken);
        }

        return Info();
    }

    public async Task<SessionInfo?> GetAsync(CancellationToken cancellationToken = default)
    {
        if (Session is not null) return Info();
        await ForgetExpiredAsync();
        return null;
    }

    public async Task<SessionBranch?> BranchAsync(CancellationToken cancellationToken = default)
    {
        if (Session is not { } session)
        {
            await ForgetExpiredAsync();
            return null;
        }

        return new SessionBranch
        {
            Model = session.Model,
            TokenIds = session.TokenIds,
            CacheSalt = session.CacheSalt,
            Turns = session.Turns,
            LastTurnId = session.LastTurnId,
            Owner = session.Owner,
            ForkedFrom = Key,
        };
    }

    public async Task<SessionInfo> OpenAsync(SessionBranch branch, CancellationToken cancellationToken = default)
    {
        if (Session is not null) throw new SessionExistsException($"There is a session '{Key}' already; a branch needs an id of its own.");
        var now = time.GetUtcNow();
        Put(new SessionRecord
        {
            Model = branch.Model,
            TokenIds = branch.TokenIds,
            CacheSalt = branch.CacheSalt,
            Turns = branch.Turns,
            LastTurnId = branch.LastTurnId,
            Owner = branch.Owner,
            CreatedAt = now,
            UsedAt = now,
            ForkedFrom = branch.ForkedFrom,
        });
        try
        {
            await stored.WriteStateAsync(cancellationToken);
        }
        catch (OrleansException)
        {
            // Who opens it is told that there is none; unlike a turn, nothing is lost with it.
            DeactivateOnIdle();
            throw;
        }

        return Info();
    }

    public async Task<bool> CloseAsync(CancellationToken cancellationToken = default)
    {
        var existed = Session is not null;
        _pin.Release(State.Session?.Owner);
        if (!existed && State.Session is null && stored.RecordExists) return false; // What is remembered of its end stays.
        try
        {
            await EndAsync(cancellationToken);
        }
        catch (InconsistentStateException exception)
        {
            LogOvertaken(Key, exception);
            await RereadAsync(cancellationToken);
            existed |= Session is not null;
            await EndAsync(cancellationToken);
        }

        return existed;
    }

    public async Task MakeRoomAsync(CancellationToken cancellationToken = default)
    {
        if (memory.Holds(Key)) return; // It was used meanwhile.
        if (_options.IsStorageMemory) await ForgetAsync();
        DeactivateOnIdle();
    }

    /// <summary>Leaves only what keeps late turns out, for as long as one may be under way.</summary>
    private async Task EndAsync(CancellationToken cancellationToken)
    {
        State.Session = null;
        State.ClosedVersion = ++State.Version;
        State.Format = SessionState.CurrentFormat;
        State.ExpiresAt = time.GetUtcNow() + _options.IdleLifetime;
        await stored.WriteStateAsync(cancellationToken);
        Hold();
    }

    private void Apply(SessionTurn turn)
    {
        if (turn.Fence < State.ClosedVersion) throw new SessionClosedException($"Session '{Key}' was closed after turn '{turn.TurnId}' had begun.");
        var before = Session;
        if (before?.LastTurnId == turn.TurnId) return;
        var now = time.GetUtcNow();
        State.Version = Math.Max(State.Version, turn.Fence); // A fence of a silo that was lost, or of a session that expired, stays behind.
        Put(new SessionRecord
        {
            Model = turn.Model,
            TokenIds = turn.TokenIds,
            CacheSalt = turn.CacheSalt,
            Turns = (before?.Turns ?? 0) + 1,
            LastTurnId = turn.TurnId,
            Owner = turn.Owner,
            CreatedAt = before?.CreatedAt ?? now,
            UsedAt = now,
            ForkedFrom = before is null ? turn.ForkedFrom : before.ForkedFrom,
        });
        _pin.Renew(State.Session!);
    }

    private void Put(SessionRecord session)
    {
        State.Format = SessionState.CurrentFormat;
        State.Version++;
        State.Session = session;
        State.ExpiresAt = session.UsedAt + _options.IdleLifetime;
        Hold();
    }

    /// <summary>Counts the activation's memory and sees to the session's end.</summary>
    private void Hold()
    {
        var now = time.GetUtcNow();
        var remaining = State.ExpiresAt > now ? State.ExpiresAt - now : TimeSpan.Zero;
        if (_end is null)
        {
            _end = this.RegisterGrainTimer(
                static (grain, _) => grain.ForgetExpiredAsync(), this, new GrainTimerCreationOptions { DueTime = remaining, Period = Timeout.InfiniteTimeSpan });
        }
        else
        {
            _end.Change(remaining, Timeout.InfiniteTimeSpan);
        }

        if (_options.IsStorageMemory) DelayDeactivation(remaining + TimeSpan.FromMinutes(1)); // Not before the timer: nobody else would clear it.
        foreach (var oldest in memory.Add(Key, (State.Session?.TokenIds.Length ?? 0) * (long)sizeof(int))) _ = DropAsync(oldest);
    }

    /// <remarks>Not waited for: two that make room for each other would wait for ever.</remarks>
    private async Task DropAsync(string oldest)
    {
        try
        {
            await grains.GetGrain<ISessionGrain>(oldest).MakeRoomAsync();
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            LogNotDropped(oldest, exception);
        }
    }

    private async Task ForgetExpiredAsync()
    {
        if (State.ExpiresAt > time.GetUtcNow()) return;
        await ForgetAsync();
    }

    /// <summary>Ids are asked for by anybody: an activation that has nothing to keep goes at once.</summary>
    private async Task ForgetAsync()
    {
        DeactivateOnIdle();
        memory.Remove(Key);
        try
        {
            if (stored.RecordExists) await stored.ClearStateAsync();
        }
        catch (OrleansException exception)
        {
            LogNotCleared(Key, exception); // It is over whatever the storage says, which drops it by itself some day.
        }
    }

    private async Task RereadAsync(CancellationToken cancellationToken)
    {
        await stored.ReadStateAsync(cancellationToken);
        RefuseNewer();
    }

    /// <exception cref="SessionFormatException">It was written by a newer program.</exception>
    private void RefuseNewer()
    {
        if (State.Format <= SessionState.CurrentFormat) return;
        throw new SessionFormatException($"Session '{Key}' is stored in format {State.Format}; this silo knows formats up to {SessionState.CurrentFormat}.");
    }

    private SessionInfo Info() => new()
    {
        Model = State.Session!.Model,
        Turns = State.Session.Turns,
        HistoryTokens = State.Session.TokenIds.Length,
        LastTurnId = State.Session.LastTurnId,
        Owner = State.Session.Owner,
        PinnedTokens = _pin.Held.Tokens,
        PinnedUntil = _pin.Held.Until,
        CreatedAt = State.Session.CreatedAt,
        UsedAt = State.Session.UsedAt,
        ExpiresAt = State.ExpiresAt,
        Version = State.Version,
        ForkedFrom = State.Session.ForkedFrom,
    };

    [LoggerMessage(Level = LogLevel.Warning, Message = "Session {Key} was written by somebody else since it was read; what is there now is taken.")]
    private partial void LogOvertaken(string key, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Session {Key} has ended, but its record is still stored.")]
    private partial void LogNotCleared(string key, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Session {Key} could not be dropped to make room; it stays until it expires.")]
    private partial void LogNotDropped(string key, Exception exception);
}
