using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Granary.Grains.Sessions;

/// <summary>What one session has pinned, and where. It is asked for beside the session's calls and never fails them: a pin is a wish.</summary>
/// <remarks>Used by one activation, on its own scheduler. What a lost activation pinned ends with its lease.</remarks>
internal sealed partial class SessionPin(string session, TimeSpan lease, IGrainFactory grains, TimeProvider time, ILogger logger)
{
    private ReplicaLife? _life;
    private DateTimeOffset _until;
    private int _tokens;
    private long _asked;

    /// <summary>What is pinned now; nothing once its lease has passed.</summary>
    public (int Tokens, DateTimeOffset? Until) Held => _tokens > 0 && _until > time.GetUtcNow() ? (_tokens, _until) : (0, null);

    /// <summary>Pins or renews a history where it was computed.</summary>
    public void Renew(SessionRecord history)
    {
        if (lease > TimeSpan.Zero && history.Owner is { } owner) _ = RenewAsync(history, owner, ++_asked);
    }

    /// <summary>Lets go of what is pinned.</summary>
    /// <param name="owner">Where it may be: another activation may have pinned it.</param>
    public void Release(ReplicaLife? owner)
    {
        _asked++;
        if (lease > TimeSpan.Zero && (_life ?? owner) is { } life) _ = ReleaseAsync(life);
        (_life, _tokens) = (null, 0);
    }

    private async Task RenewAsync(SessionRecord history, ReplicaLife owner, long asked)
    {
        if (_life is { } before && before != owner) _ = ReleaseAsync(before);
        _life = owner;
        try
        {
            var pin = new KvPin { Owner = session, TokenIds = history.TokenIds, CacheSalt = history.CacheSalt, Lease = lease };
            var tokens = await grains.GetGrain<IReplicaGrain>(owner.ReplicaId).PinAsync(pin, owner.Epoch);
            if (asked == _asked) (_tokens, _until) = (tokens, time.GetUtcNow() + lease);
        }
        catch (Exception exception) when (exception is OrleansException or GranaryException or TimeoutException)
        {
            if (asked == _asked) (_life, _tokens) = (null, 0);
            LogNotPinned(session, owner.ReplicaId, exception.Message);
        }
    }

    private async Task ReleaseAsync(ReplicaLife life)
    {
        try
        {
            await grains.GetGrain<IReplicaGrain>(life.ReplicaId).UnpinAsync(session, life.Epoch);
        }
        catch (Exception exception) when (exception is OrleansException or GranaryException or TimeoutException)
        {
            LogNotPinned(session, life.ReplicaId, exception.Message); // It ends with its lease, or has ended with its life.
        }
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "Session {Session}: replica {ReplicaId} does not answer about its pin: {Reason}")]
    private partial void LogNotPinned(string session, string replicaId, string reason);
}
