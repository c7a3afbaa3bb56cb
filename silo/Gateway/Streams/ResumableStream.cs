using System.Runtime.CompilerServices;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Streams;

namespace Granary.Silo.Gateway.Streams;

/// <summary>One stream that another gateway could go on with, or that this one goes on with: where its tokens come from, and who is told of them.</summary>
internal sealed class ResumableStream(StreamHead head, int takeover, RecordedChoice[] choices, StreamRecorder recorder, EventIds ids) : IDisposable
{
    // Told from the journal; what is recorded later is read by nobody here.
    private readonly int[] _journaled = [.. choices.Select(choice => choice.Count)];

    public StreamHead Head => head;

    public EventIds Ids => ids;

    /// <summary>Cancelled when another gateway has the stream: this one ends its part in silence.</summary>
    public CancellationToken TakenOver => recorder.TakenOver;

    /// <summary>Whether the choice's token came from the journal and not from a replica.</summary>
    /// <param name="tokens">The choice's tokens up to this one.</param>
    public bool IsReplay(int choice, int tokens) => tokens <= _journaled[choice];

    /// <summary>All tokens of a choice, from its first: those of the journal, and then those that a replica goes on with.</summary>
    public async IAsyncEnumerable<TokenChunk> ReadAsync(
        IGenerationClient client, GenerateRequest request, int choice, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var recorded = choices[choice];
        var (isResumed, hasJournal, cached) = (takeover > 1, recorded.HasBegun, recorded.CachedPromptTokens);
        // Log-probabilities of the prompt open the choice and are in no journal: where they are still wanted, it is generated from its beginning.
        var fromStart = !isResumed || !hasJournal || (request.PromptLogprobs is not null && !ids[choice].HasBegun);
        if (!fromStart)
        {
            foreach (var chunk in recorded.Chunks().ToArray()) yield return chunk;
            if (recorded.HasEnded) yield break;
            request = request with { PromptTokenIds = [.. request.PromptTokenIds, .. recorded.Ids], ReplayedTokens = recorded.Count, PromptLogprobs = null };
        }

        // The gateway before may not have ended its own yet.
        if (isResumed) request = request with { WasTaken = true, RequestId = $"{request.RequestId}~{takeover}", Group = request.Group is { } group ? $"{group}~{takeover}" : null };
        var tokens = request.ReplayedTokens;
        await foreach (var chunk in client.GenerateAsync(request, cancellationToken))
        {
            if (chunk.TokenId >= 0) tokens++;
            if (tokens > recorded.Count || (chunk.TokenId < 0 && !recorded.HasEnded)) recorder.Add(choice, chunk);
            yield return hasJournal ? chunk with { CachedPromptTokens = cached } : chunk;
        }
    }

    /// <summary>The rest of what was read goes to the journal.</summary>
    public void Dispose() => recorder.Dispose();
}
