using System.Diagnostics.Metrics;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Sessions;
using Microsoft.Extensions.Logging;
using Orleans;

namespace Granary.Client;

/// <summary>Tells sessions of their turns, beside the answers: no token waits for it, and what fails of it is counted and logged, never thrown.</summary>
public sealed partial class SessionRecorder
{
    public const string MeterName = "Granary.Sessions";

    /// <summary>Turns that are being written; more are not recorded.</summary>
    internal const int MaxPending = 1024;

    /// <summary>How long a session's grain is waited for.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, (Task Last, int Count)> _pending = new(StringComparer.Ordinal);
    private readonly IGrainFactory _grains;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Counter<long>? _turns;
    private int _pendingCount;

    /// <param name="meters">Null counts nothing.</param>
    public SessionRecorder(IGrainFactory grains, TimeProvider time, IMeterFactory? meters, ILogger<SessionRecorder> logger)
    {
        (_grains, _time, _logger) = (grains, time, logger);
        _turns = meters?.Create(MeterName).CreateCounter<long>("granary.session.turns", null, "Turns of sessions, by whether they were recorded, and why not.");
    }

    /// <summary>Begins a turn.</summary>
    /// <param name="key">The session's key.</param>
    /// <param name="turnId">Names the turn: the response's id. A branch that it makes is a session of this id.</param>
    /// <param name="after">The turn that it goes on from, where the caller knows it.</param>
    public RecordedTurn Begin(string key, string turnId, string? after = null) => new(this, key, turnId, BeginAsync(key, turnId, after));

    /// <summary>Waits until the session knows the turns that were committed here, as long as it is waited for at most.</summary>
    public Task SettleAsync(string key)
    {
        lock (_gate) return _pending.TryGetValue(key, out var pending) ? pending.Last : Task.CompletedTask;
    }

    /// <summary>Commits in the order of the calls, one of a session at a time.</summary>
    internal void Commit(RecordedTurn turn, Func<SessionTurnStart?, SessionTurn> contentOf)
    {
        lock (_gate)
        {
            if (_pendingCount < MaxPending)
            {
                _pendingCount++;
                var (last, count) = _pending.GetValueOrDefault(turn.RequestedKey, (Task.CompletedTask, 0));
                _pending[turn.RequestedKey] = (CommitAsync(turn, contentOf, last), count + 1);
                return;
            }
        }

        Count("dropped");
        LogDropped(turn.Id, MaxPending);
    }

    private async Task<SessionTurnStart?> BeginAsync(string key, string turnId, string? after)
    {
        try
        {
            await SettleAsync(key);
            return await _grains.GetGrain<ISessionGrain>(key).BeginTurnAsync(after).WaitAsync(Patience, _time);
        }
        catch (Exception exception)
        {
            LogNotBegun(turnId, exception);
            return null;
        }
    }

    private async Task CommitAsync(RecordedTurn turn, Func<SessionTurnStart?, SessionTurn> contentOf, Task before)
    {
        await Task.Yield(); // Whoever commits goes on.
        try
        {
            await before;
            var start = await turn.Started;
            await _grains.GetGrain<ISessionGrain>(await turn.GetKeyAsync()).CommitTurnAsync(contentOf(start)).WaitAsync(Patience, _time);
            Count("recorded");
        }
        catch (Exception exception)
        {
            Count(exception switch { SessionClosedException => "closed", RequestRefusedException => "too_long", _ => "failed" });
            LogNotRecorded(turn.Id, exception);
        }

        lock (_gate)
        {
            _pendingCount--;
            var (last, count) = _pending[turn.RequestedKey];
            if (count == 1) _pending.Remove(turn.RequestedKey);
            else _pending[turn.RequestedKey] = (last, count - 1);
        }
    }

    private void Count(string outcome) => _turns?.Add(1, new KeyValuePair<string, object?>("outcome", outcome));

    [LoggerMessage(Level = LogLevel.Warning, Message = "Turn {TurnId}: its session does not answer; the turn goes on without it.")]
    private partial void LogNotBegun(string turnId, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Turn {TurnId} was answered, but its session does not know of it.")]
    private partial void LogNotRecorded(string turnId, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Turn {TurnId} was answered, but its session does not know of it: {MaxPending} others are being written.")]
    private partial void LogDropped(string turnId, int maxPending);
}
