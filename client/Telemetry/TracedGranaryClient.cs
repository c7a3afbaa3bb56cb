using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Granary.Client;

/// <summary>Tells of every call as an activity, whichever way it goes. Texts are never part of it.</summary>
/// <param name="endpoint">The gateway; null over grains.</param>
internal sealed class TracedGranaryClient(GranaryClient inner, Uri? endpoint) : GranaryClient, IDisposable
{
    public override Uri? Endpoint => endpoint;

    public override string? DefaultModel => inner.DefaultModel;

    public override IAsyncEnumerable<GenerationUpdate> ChatAsync(ChatRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        return TraceAsync("chat", request.Model, request.Settings, () => inner.ChatAsync(request, CancellationToken.None), cancellationToken);
    }

    public override IAsyncEnumerable<GenerationUpdate> CompleteAsync(CompletionRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        return TraceAsync("text_completion", request.Model, request.Settings, () => inner.CompleteAsync(request, CancellationToken.None), cancellationToken);
    }

    public override async Task<EmbeddingResponse> EmbedAsync(EmbeddingRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        using var activity = ClientActivity.Start("embeddings", request.Model ?? DefaultModel, endpoint);
        try
        {
            var response = await inner.EmbedAsync(request, cancellationToken);
            activity?.SetTag(ClientActivity.ResponseModel, response.Model).SetTag(ClientActivity.InputTokens, response.PromptTokens);
            return response;
        }
        catch (Exception exception)
        {
            ClientActivity.Failed(activity, exception);
            throw;
        }
    }

    public override Task<IReadOnlyList<ModelInfo>> GetModelsAsync(CancellationToken cancellationToken = default) => inner.GetModelsAsync(cancellationToken);

    public override Task<int[]> TokenizeAsync(string? model, string text, bool addSpecialTokens = true, CancellationToken cancellationToken = default) =>
        inner.TokenizeAsync(model, text, addSpecialTokens, cancellationToken);

    public override Task<string> DetokenizeAsync(string? model, IReadOnlyList<int> ids, CancellationToken cancellationToken = default) =>
        inner.DetokenizeAsync(model, ids, cancellationToken);

    public override ValueTask DisposeAsync() => inner.DisposeAsync();

    /// <summary>For containers that are not disposed asynchronously; there is nothing to wait for.</summary>
    public void Dispose() => inner.DisposeAsync().AsTask().GetAwaiter().GetResult();

    private async IAsyncEnumerable<GenerationUpdate> TraceAsync(
        string operation, string? model, GenerationSettings settings, Func<IAsyncEnumerable<GenerationUpdate>> run,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var activity = ClientActivity.Start(operation, model ?? DefaultModel, endpoint);
        ClientActivity.Asked(activity, settings);
        var reasons = activity is null ? null : new SortedDictionary<int, string>();
        IAsyncEnumerator<GenerationUpdate>? updates = null;
        try
        {
            while (true)
            {
                GenerationUpdate update;
                try
                {
                    // The calls below belong to this activity; between the updates the caller's is the current one.
                    if (activity is not null) Activity.Current = activity;
                    updates ??= run().GetAsyncEnumerator(cancellationToken);
                    if (!await updates.MoveNextAsync()) yield break;
                    update = updates.Current;
                }
                catch (Exception exception)
                {
                    ClientActivity.Failed(activity, exception);
                    throw;
                }

                if (reasons is not null) ClientActivity.Answered(activity!, update, reasons);
                yield return update;
            }
        }
        finally
        {
            if (updates is not null) await updates.DisposeAsync();
        }
    }
}
