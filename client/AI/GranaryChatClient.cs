using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;

namespace Granary.Client;

/// <summary>Chats with a Granary cluster. Each call carries the whole conversation; the cluster keeps none.</summary>
internal sealed class GranaryChatClient(GranaryClient client, string? model) : IChatClient
{
    private readonly ChatClientMetadata _metadata = new(ClientActivity.ProviderName, client.Endpoint, model ?? client.DefaultModel);

    /// <remarks>The response's raw representation is the list of its <see cref="GenerationUpdate"/>s.</remarks>
    public async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        var raw = new List<GenerationUpdate>();
        var response = await StreamAsync(messages, options, raw.Add, cancellationToken).ToChatResponseAsync(cancellationToken);
        response.RawRepresentation = raw;
        return response;
    }

    /// <remarks>Each update's raw representation is its <see cref="GenerationUpdate"/>.</remarks>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) =>
        StreamAsync(messages, options, _ => { }, cancellationToken);

    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey is not null) return null;
        if (serviceType == typeof(ChatClientMetadata)) return _metadata;
        return serviceType.IsInstanceOfType(this) ? this : serviceType.IsInstanceOfType(client) ? client : null;
    }

    /// <summary>Does nothing: the client belongs to whoever made it.</summary>
    public void Dispose()
    {
    }

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options, Action<GenerationUpdate> read, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(messages);
        var request = ChatOptionsMapping.ToRequest(this, messages, options, model);
        await foreach (var update in client.ChatAsync(request, cancellationToken))
        {
            read(update);
            yield return ToUpdate(update);
        }
    }

    private static ChatResponseUpdate ToUpdate(GenerationUpdate update) => new()
    {
        Role = ChatRole.Assistant,
        ResponseId = update.ResponseId,
        MessageId = update.ResponseId,
        ModelId = update.Model,
        CreatedAt = update.Created,
        FinishReason = update.FinishReason is { } reason ? new ChatFinishReason(reason) : null,
        Contents = update.Usage is { } usage ? [new UsageContent(ToDetails(usage))] : update.Text.Length > 0 ? [new TextContent(update.Text)] : [],
        RawRepresentation = update,
    };

    private static UsageDetails ToDetails(GenerationUsage usage) => new()
    {
        InputTokenCount = usage.PromptTokens,
        OutputTokenCount = usage.CompletionTokens,
        TotalTokenCount = usage.PromptTokens + usage.CompletionTokens,
        CachedInputTokenCount = usage.CachedPromptTokens,
    };
}
