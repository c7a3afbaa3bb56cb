using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.Text.Templates;
using Granary.Text.Tokenization;
using Orleans;

namespace Granary.Client;

/// <summary>The text side of the cluster's models: cards are kept for a while, tokenizers and templates by fingerprint while they are in use.</summary>
/// <remarks>So a request costs no call besides its own, and a model that is deployed anew under its name is noticed within <see cref="CardLifetime"/>.</remarks>
internal sealed class TextModels(IGrainFactory grains, string? defaultModel, TimeProvider time)
{
    /// <summary>How long a card is taken for true.</summary>
    public static readonly TimeSpan CardLifetime = TimeSpan.FromSeconds(10);

    /// <summary>Tokenizers kept, the least recently used leaves first: each has some hundred bytes for every token it knows.</summary>
    public const int MaxTokenizers = 8;

    private const int MaxCards = 1024;
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, (ModelCard Card, DateTimeOffset Ends)> _cards = new(StringComparer.Ordinal); // "" is the only model.
    private readonly LinkedList<(string Fingerprint, Task<TextSide> Side)> _sides = new(); // The last used first.

    /// <param name="name">Null for the default model, or else for the only one.</param>
    /// <exception cref="GranaryRequestException">There is no such model, or none is named and there are several.</exception>
    /// <exception cref="GranaryUnavailableException">The model is not ready, or the cluster does not answer.</exception>
    public async Task<TextModel> GetAsync(string? name, CancellationToken cancellationToken)
    {
        name ??= defaultModel;
        if (name is { Length: 0 or > GenerationLimits.MaxNameLength })
            throw Refusals.Wrong("model", Refusals.Show(name), $"1 to {GenerationLimits.MaxNameLength} characters long");
        try
        {
            var card = FindCard(name ?? "") ?? Keep(name ?? "", await (name is null ? GetOnlyCardAsync(cancellationToken) : GetCardAsync(name, cancellationToken)));
            var side = await GetSide(card).WaitAsync(cancellationToken);
            return new TextModel { Card = card, Tokenizer = side.Tokenizer, Template = side.Template };
        }
        catch (Exception exception) when (MapCall(exception) is { } mapped)
        {
            throw mapped;
        }
    }

    /// <summary>The cards of all served models, by name.</summary>
    /// <exception cref="GranaryUnavailableException">The cluster does not answer.</exception>
    public async Task<ModelCard[]> ListAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await grains.GetGrain<IModelIndexGrain>(0).ListAsync(cancellationToken);
        }
        catch (Exception exception) when (MapCall(exception) is { } mapped)
        {
            throw mapped;
        }
    }

    /// <remarks>Nothing here has a deadline of its own, so a timeout is a call's that nobody answered.</remarks>
    private static GranaryClientException? MapCall(Exception exception) =>
        exception is TimeoutException
            ? new GranaryUnavailableException($"The cluster does not answer: {exception.Message}", RetryAfter, exception)
            : GrainErrors.Map(exception, null);

    private async Task<ModelCard> GetOnlyCardAsync(CancellationToken cancellationToken) => await ListAsync(cancellationToken) switch
    {
        [var only] => only,
        [] => throw new GranaryUnavailableException("The cluster serves no model yet.", RetryAfter),
        _ => throw Refusals.Invalid("model", "model is missing; several are served."),
    };

    private async Task<ModelCard> GetCardAsync(string name, CancellationToken cancellationToken)
    {
        var model = grains.GetGrain<IModelGrain>(name);
        try
        {
            return await model.GetCardAsync(cancellationToken);
        }
        catch (ModelNotReadyException)
        {
            // One that nobody wants is not there; one that somebody wants is loading.
            if ((await model.GetStatusAsync(cancellationToken)).WantedReplicas > 0) throw;
            throw new GranaryRequestException($"The model '{name}' does not exist here.", "model") { Code = Refusals.ModelNotFound };
        }
    }

    private ModelCard? FindCard(string name)
    {
        lock (_gate) return _cards.TryGetValue(name, out var kept) && kept.Ends > time.GetUtcNow() ? kept.Card : null;
    }

    private ModelCard Keep(string name, ModelCard card)
    {
        lock (_gate)
        {
            if (_cards.Count >= MaxCards) _cards.Clear(); // Far above what a cluster serves; they are one call away.
            _cards[name] = (card, time.GetUtcNow() + CardLifetime);
        }

        return card;
    }

    /// <summary>The tokenizer and template, being read where they are not yet there; all who wait share one reading.</summary>
    private Task<TextSide> GetSide(ModelCard card)
    {
        lock (_gate)
        {
            for (var node = _sides.First; node is not null; node = node.Next)
            {
                if (node.Value.Fingerprint != card.Fingerprint) continue;
                _sides.Remove(node);
                if (node.Value.Side is { IsFaulted: true } or { IsCanceled: true }) break; // A failed reading is not kept.
                _sides.AddFirst(node);
                return node.Value.Side;
            }

            var side = Task.Run(() => ReadSideAsync(card));
            _sides.AddFirst((card.Fingerprint, side));
            if (_sides.Count > MaxTokenizers) _sides.RemoveLast();
            return side;
        }
    }

    private async Task<TextSide> ReadSideAsync(ModelCard card)
    {
        // Nobody's token: others may wait for it as well.
        var files = await grains.GetGrain<IModelGrain>(card.Name).GetTextFilesAsync(CancellationToken.None);
        if (files.Fingerprint != card.Fingerprint)
        {
            lock (_gate) _cards.Clear();
            throw new GranaryUnavailableException($"Model '{card.Name}' is being replaced by another of its name.", RetryAfter);
        }

        try
        {
            return new(TextTokenizer.Load(files.Files), ChatTemplate.Load(files.Files, time));
        }
        catch (Exception exception) when (exception is TokenizerException or ChatTemplateException)
        {
            throw new GranaryGenerationException($"The text files of model '{card.Name}' cannot be read by this client: {exception.Message}", exception);
        }
    }

    private sealed record TextSide(TextTokenizer Tokenizer, ChatTemplate? Template);
}
