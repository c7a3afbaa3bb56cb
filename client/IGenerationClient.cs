using Granary.GrainInterfaces;

namespace Granary.Client;

/// <summary>Generates and embeds, in token ids, on whichever replica answers soonest.</summary>
/// <remarks>Safe for any thread; one instance serves all requests.</remarks>
public interface IGenerationClient
{
    /// <summary>Streams the tokens of one choice, in order, ending with exactly one chunk that has a finish reason.</summary>
    /// <remarks>
    /// A request that was taken once goes on in other lives of replicas where it has to, and its tokens are those of an unbroken run.
    /// Leaving the enumeration early, or cancelling it, ends the generation and frees what it holds.
    /// </remarks>
    /// <exception cref="GrainInterfaces.Errors.ModelNotReadyException">No replica of the model is ready.</exception>
    /// <exception cref="GrainInterfaces.Errors.ReplicaSaturatedException">All replicas that were asked are full.</exception>
    /// <exception cref="GrainInterfaces.Errors.RequestRefusedException">A value of the request is out of its bounds.</exception>
    /// <exception cref="GrainInterfaces.Errors.RequestQuarantinedException">The request ended replicas, now or a short while ago; what was delivered is right.</exception>
    /// <exception cref="GrainInterfaces.Errors.ReplicaFailedException">Too many lives were lost, or nobody went on for too long; what was delivered is right.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    IAsyncEnumerable<TokenChunk> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken = default);

    /// <summary>Pools the hidden states of one text into a vector.</summary>
    /// <exception cref="GrainInterfaces.Errors.ModelNotReadyException">No replica of the model is ready.</exception>
    /// <exception cref="GrainInterfaces.Errors.ReplicaSaturatedException">All replicas that were asked are full.</exception>
    /// <exception cref="GrainInterfaces.Errors.RequestRefusedException">A value of the request is out of its bounds.</exception>
    /// <exception cref="GrainInterfaces.Errors.ReplicaFailedException">Lives were lost with it, one after another.</exception>
    /// <exception cref="TimeoutException">The request's deadline passed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    Task<EmbedResult> EmbedAsync(EmbedRequest request, CancellationToken cancellationToken = default);
}
