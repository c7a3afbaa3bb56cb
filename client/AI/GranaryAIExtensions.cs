using Microsoft.Extensions.AI;

namespace Granary.Client;

/// <summary>A <see cref="GranaryClient"/> as Microsoft.Extensions.AI sees it.</summary>
public static class GranaryAIExtensions
{
    /// <summary>Chats through the client. Disposing what it gives does not dispose the client.</summary>
    /// <param name="model">The model of requests whose options name none; null for the client's.</param>
    public static IChatClient AsChatClient(this GranaryClient client, string? model = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        return new GranaryChatClient(client, model);
    }

    /// <summary>Embeds through the client. Disposing what it gives does not dispose the client.</summary>
    /// <param name="model">The model of requests whose options name none; null for the client's.</param>
    public static IEmbeddingGenerator<string, Embedding<float>> AsEmbeddingGenerator(this GranaryClient client, string? model = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        return new GranaryEmbeddingGenerator(client, model);
    }
}
