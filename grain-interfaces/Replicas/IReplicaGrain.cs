using Orleans;
using Orleans.Concurrency;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>Admits requests to one replica's engine and carries its tokens back in one hop. Key: <c>silo/device/model/index</c>, its leader's worker first.</summary>
/// <remarks>
/// The grain is the address, on the silo that its key names; the engine and its memory belong to the silo and outlive an activation.
/// A process that reads from a replica is one reader to it, for all its sequences: it opens, submits, and takes what each step made for all of them in one
/// message. One take is under way at a time; meanwhile the next message collects. Takes are the reader's sign of life, see <see cref="ReaderLease"/>.
/// </remarks>
[Alias("granary.replica")]
public interface IReplicaGrain : IGrainWithStringKey
{
    /// <summary>Makes a reader known.</summary>
    /// <param name="reader">New for each life of each replica that a process reads from.</param>
    /// <param name="epoch">The life the ticket named; another life refuses.</param>
    /// <exception cref="Errors.ReplicaSaturatedException">There are too many readers.</exception>
    /// <exception cref="Errors.EpochMismatchException">The replica is in another life.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:10"), Alias("open-reader")]
    Task OpenReaderAsync(Guid reader, long epoch);

    /// <summary>Admits one choice and returns at once; its tokens come with the reader's takes, as far as <see cref="TokenCredit.Window"/>.</summary>
    /// <param name="request">What to generate.</param>
    /// <param name="epoch">The life the ticket named; another life refuses.</param>
    /// <param name="reader">Who takes the tokens.</param>
    /// <param name="slot">The sequence's name between the two, new for each.</param>
    /// <exception cref="Errors.ReplicaSaturatedException">The admission queue is full; nothing was started.</exception>
    /// <exception cref="Errors.EpochMismatchException">The replica is in another life; nothing was started.</exception>
    /// <exception cref="Errors.RequestRefusedException">The request can never run here: a value is out of its bounds.</exception>
    /// <exception cref="Errors.UnknownReaderException">The reader was not opened, or was forgotten; nothing was started.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:10"), Alias("submit")]
    Task SubmitAsync(GenerateRequest request, long epoch, Guid reader, long slot);

    /// <summary>Waits until there is something for the reader, at most <see cref="ReaderLease.Heartbeat"/>, with sequences <see cref="ReaderLease.BusyHeartbeat"/>, and takes it.</summary>
    /// <remarks>It is answered at once when the replica begins to drain, or ends.</remarks>
    /// <param name="credits">How far sequences may go on since the last take.</param>
    /// <exception cref="Errors.UnknownReaderException">The reader was not opened, or was forgotten with all its sequences.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:10"), Alias("take")]
    Task<StepTokens> TakeAsync(Guid reader, [Immutable] TokenCredit[] credits);

    /// <summary>Lets a sequence that used its credit up go on while a take is under way. Unknown ones are ignored.</summary>
    [AlwaysInterleave, ResponseTimeout("00:00:10"), Alias("grant")]
    Task GrantAsync(Guid reader, TokenCredit credit);

    /// <summary>Ends a sequence; its KV blocks are free when this returns. Unknown ones are ignored.</summary>
    [AlwaysInterleave, ResponseTimeout("00:00:30"), Alias("cancel")]
    Task CancelAsync(Guid reader, long slot);

    /// <summary>Pools the hidden states of a text into one vector. Cancelling it frees what it holds.</summary>
    /// <param name="request">What to embed.</param>
    /// <param name="epoch">The life the ticket named; another life refuses.</param>
    /// <exception cref="Errors.ReplicaSaturatedException">The admission queue is full; nothing was started.</exception>
    /// <exception cref="Errors.EpochMismatchException">The replica is in another life; nothing was started.</exception>
    /// <exception cref="Errors.RequestRefusedException">The request can never run here: a value is out of its bounds.</exception>
    /// <exception cref="Errors.ReplicaFailedException">The engine failed while the sequence ran.</exception>
    /// <exception cref="TimeoutException">The request's deadline passed.</exception>
    [AlwaysInterleave, ResponseTimeout("00:30:00"), Alias("embed")]
    Task<EmbedResult> EmbedAsync(EmbedRequest request, long epoch, CancellationToken cancellationToken = default);

    /// <summary>Keeps what is cached of a prefix for a while. Best effort: sequences that need the room take it.</summary>
    /// <param name="epoch">The life that computed it; another life refuses.</param>
    /// <returns>Leading tokens that are kept now.</returns>
    /// <exception cref="Errors.EpochMismatchException">The replica is in another life, or in none.</exception>
    /// <exception cref="Errors.RequestRefusedException">The lease is out of its bounds.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("pin")]
    Task<int> PinAsync(KvPin pin, long epoch);

    /// <summary>Lets go of what an owner keeps, if anything.</summary>
    /// <exception cref="Errors.EpochMismatchException">The replica is in another life, or in none.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("unpin")]
    Task UnpinAsync(string owner, long epoch);

    /// <summary>The engine's load and measured speed, read without waiting for anything.</summary>
    /// <exception cref="Errors.ModelNotReadyException">No engine of this replica lives here.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("load")]
    Task<ReplicaLoad> GetLoadAsync(CancellationToken cancellationToken = default);

    /// <summary>Waits for news of the replica's load and cache, at most <see cref="ReplicaWatch.Heartbeat"/>, and tells them.</summary>
    /// <remarks>Ask again as soon as it has answered; draining and the life's end are told at once. News come about each <see cref="ReplicaWatch.Pause"/>.</remarks>
    /// <param name="epoch">The life that is watched.</param>
    /// <param name="nextEvent">What the last answer's <see cref="KvEvents.Next"/> was; 0 for one that knows nothing, which is answered at once.</param>
    /// <exception cref="Errors.EpochMismatchException">The replica is in another life, or in none.</exception>
    /// <exception cref="Errors.ReplicaSaturatedException">It is watched by too many.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("watch")]
    Task<ReplicaNews> WatchAsync(long epoch, long nextEvent, CancellationToken cancellationToken = default);
}
