using Orleans;
using Orleans.Concurrency;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>Admits requests to one replica's engine and carries its tokens back in one hop. Key: <c>silo/device/model/index</c>, its leader's worker first.</summary>
/// <remarks>The grain is the address, on the silo that its key names; the engine and its memory belong to the silo and outlive an activation.</remarks>
[Alias("granary.replica")]
public interface IReplicaGrain : IGrainWithStringKey
{
    /// <summary>Generates one choice. Leaving the enumeration cancels it and frees its KV blocks.</summary>
    /// <param name="request">What to generate.</param>
    /// <param name="epoch">The life the ticket named; another life refuses.</param>
    /// <param name="cancellationToken">Cancels the generation.</param>
    /// <exception cref="Errors.ReplicaSaturatedException">The admission queue is full; nothing was started.</exception>
    /// <exception cref="Errors.EpochMismatchException">The replica is in another life; nothing was started.</exception>
    /// <exception cref="Errors.RequestRefusedException">The request can never run here: a value is out of its bounds.</exception>
    /// <exception cref="Errors.ReplicaFailedException">The engine failed while the sequence ran.</exception>
    [Alias("generate")]
    IAsyncEnumerable<TokenChunk> GenerateAsync(GenerateRequest request, long epoch, CancellationToken cancellationToken = default);

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

    /// <summary>The engine's load and measured speed, read without waiting for anything.</summary>
    /// <exception cref="Errors.ModelNotReadyException">No engine of this replica lives here.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("load")]
    Task<ReplicaLoad> GetLoadAsync(CancellationToken cancellationToken = default);
}
