using Orleans;

namespace Granary.GrainInterfaces.Sessions;

/// <summary>One conversation over its turns: what the model has read and said so far, and which life of a replica holds its KV. Key: <see cref="Cluster.GrainKeys.Session"/>.</summary>
/// <remarks>
/// It changes no answer: a request brings its whole conversation as always. It knows where the next turn's prefix is, keeps it there, and can branch.
/// Turns of one session may overlap; each answer is right, and the history is that of the turn that was committed last.
/// A session lives until it is closed or nobody used it for a while; a storage in memory may drop the one that was used longest ago before.
/// </remarks>
[Alias("granary.session")]
public interface ISessionGrain : IGrainWithStringKey
{
    /// <summary>Says what is known when a turn begins. There need not be a session yet: its first turn makes it.</summary>
    /// <param name="after">The turn that this one goes on from, where the caller knows it; null for whatever the last was.</param>
    [Alias("begin")]
    Task<SessionTurnStart> BeginTurnAsync(string? after = null, CancellationToken cancellationToken = default);

    /// <summary>Takes over what a turn read and said. A turn that was committed already is not counted again.</summary>
    /// <exception cref="Errors.SessionClosedException">The session was closed after the turn began; it stays closed.</exception>
    /// <exception cref="Errors.RequestRefusedException">The history would have too many tokens; it stays as it was.</exception>
    [Alias("commit")]
    Task<SessionInfo> CommitTurnAsync(SessionTurn turn, CancellationToken cancellationToken = default);

    /// <summary>The session; null where there is none, or none any more.</summary>
    [Alias("get")]
    Task<SessionInfo?> GetAsync(CancellationToken cancellationToken = default);

    /// <summary>What a branch begins with: the history, and where its KV is; null where there is no session.</summary>
    [Alias("branch")]
    Task<SessionBranch?> BranchAsync(CancellationToken cancellationToken = default);

    /// <summary>Makes this a session that goes on from another's history. Nothing is pinned before its first turn.</summary>
    /// <exception cref="Errors.SessionExistsException">There is a session of this key.</exception>
    [Alias("open")]
    Task<SessionInfo> OpenAsync(SessionBranch branch, CancellationToken cancellationToken = default);

    /// <summary>Forgets the session and lets its KV go. Turns that have begun are not taken any more; branches keep what they took over.</summary>
    /// <returns>Whether there was one.</returns>
    [Alias("close")]
    Task<bool> CloseAsync(CancellationToken cancellationToken = default);

    /// <summary>Gives the silo its memory back: the activation, and the session as well where the storage is that memory.</summary>
    [Alias("make-room")]
    Task MakeRoomAsync(CancellationToken cancellationToken = default);
}
