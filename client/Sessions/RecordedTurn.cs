using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Routing;
using Granary.GrainInterfaces.Sessions;

namespace Granary.Client;

/// <summary>One turn of a session, from its beginning to its commit. A turn that fails or is left is not committed.</summary>
/// <remarks>Tokens are taken by one caller at a time, before the commit.</remarks>
public sealed class RecordedTurn
{
    private readonly SessionRecorder _recorder;
    private readonly List<int> _tokens = [];
    private ReplicaLife? _owner;

    internal RecordedTurn(SessionRecorder recorder, string key, string id, Task<SessionTurnStart?> started)
    {
        (_recorder, RequestedKey, Id, Started) = (recorder, key, id, started);
    }

    public string Id { get; }

    /// <summary>The session that was asked for.</summary>
    internal string RequestedKey { get; }

    /// <summary>What the session said; null where it did not answer. It does not fail.</summary>
    internal Task<SessionTurnStart?> Started { get; }

    /// <summary>The session that the turn belongs to: a branch where it does not go on from the last turn.</summary>
    public async Task<string> GetKeyAsync() => await Started is { IsBehindLast: false } ? GrainKeys.Session(TenantOf(RequestedKey), Id) : RequestedKey;

    /// <summary>Takes a token of the answer.</summary>
    public void Take(in TokenChunk chunk)
    {
        if (chunk.TokenId >= 0) _tokens.Add(chunk.TokenId);
        if (chunk.ReplicaId is { } replica) _owner = new ReplicaLife(replica, chunk.Epoch);
    }

    /// <summary>Has the turn written, and returns at once.</summary>
    /// <param name="prompt">The ids that were answered.</param>
    public void Commit(string model, int[] prompt, string? cacheSalt)
    {
        int[] ids = [.. prompt, .. _tokens];
        _recorder.Commit(this, start => new SessionTurn
        {
            Fence = start?.Fence ?? 0,
            TurnId = Id,
            Model = model,
            TokenIds = ids,
            CacheSalt = cacheSalt,
            Owner = _owner,
            ForkedFrom = start is { IsBehindLast: false } ? RequestedKey : null,
        });
    }

    private static string? TenantOf(string key) => key[..key.IndexOf('/')];
}
