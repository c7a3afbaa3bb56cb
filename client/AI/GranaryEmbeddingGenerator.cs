using Microsoft.Extensions.AI;

namespace Granary.Client;

/// <summary>Embeds texts on a Granary cluster, some thousand in as many calls as they need.</summary>
internal sealed class GranaryEmbeddingGenerator(GranaryClient client, string? model) : IEmbeddingGenerator<string, Embedding<float>>
{
    private readonly EmbeddingGeneratorMetadata _metadata = new(ClientActivity.ProviderName, client.Endpoint, model ?? client.DefaultModel);

    public async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(
        IEnumerable<string> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(values);
        var embeddings = new GeneratedEmbeddings<Embedding<float>>();
        var tokens = 0L;
        foreach (var inputs in values.Chunk(GenerationLimits.MaxEmbeddingInputs))
        {
            var response = await client.EmbedAsync(
                new EmbeddingRequest { Model = options?.ModelId ?? model, Inputs = inputs, Dimensions = options?.Dimensions }, cancellationToken);
            embeddings.AddRange(response.Vectors.Select(vector => new Embedding<float>(vector) { ModelId = response.Model }));
            tokens += response.PromptTokens;
        }

        embeddings.Usage = new UsageDetails { InputTokenCount = tokens, TotalTokenCount = tokens };
        return embeddings;
    }

    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey is not null) return null;
        if (serviceType == typeof(EmbeddingGeneratorMetadata)) return _metadata;
        return serviceType.IsInstanceOfType(this) ? this : serviceType.IsInstanceOfType(client) ? client : null;
    }

    /// <summary>Does nothing: the client belongs to whoever made it.</summary>
    public void Dispose()
    {
    }
}
