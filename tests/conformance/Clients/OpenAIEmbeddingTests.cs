using System.ClientModel;
using Granary.Tests.Conformance.Support;
using OpenAI.Embeddings;

namespace Granary.Tests.Conformance.Clients;

/// <summary>The official .NET client reads our vectors; it asks for them in base64.</summary>
[Collection(SiloTests.Name)]
public sealed class OpenAIEmbeddingTests(SiloFixture fixture)
{
    private readonly EmbeddingClient _client = OpenAIDotNet.Of(fixture.Silo).GetEmbeddingClient(Api.Model);

    [Fact]
    public async Task Vectors_EqualThoseInFloats()
    {
        string[] inputs = ["The capital of France", "A cat"];
        var body = new System.Text.Json.Nodes.JsonObject { ["model"] = Api.Model, ["input"] = new System.Text.Json.Nodes.JsonArray(inputs[0], inputs[1]), ["encoding_format"] = "float" };

        OpenAIEmbeddingCollection vectors = await _client.GenerateEmbeddingsAsync(inputs);

        var floats = (await fixture.Http.AskAsync("/v1/embeddings", body))["data"]!.AsArray();
        Assert.Equal([0, 1], vectors.Select(vector => vector.Index));
        Assert.Equal(vectors.Usage.InputTokenCount, vectors.Usage.TotalTokenCount);
        for (var i = 0; i < inputs.Length; i++)
        {
            var vector = vectors[i].ToFloats().ToArray();
            Assert.Equal(1, vector.Sum(value => (double)value * value), 1e-4);
            Assert.Equal(floats[i]!["embedding"]!.AsArray().Select(value => (float)value!), vector);
        }
    }

    [Fact]
    public async Task TokenIdsAndDimensions()
    {
        OpenAIEmbeddingCollection vectors = await _client.GenerateEmbeddingsAsync(
            [new ReadOnlyMemory<int>([5, 6, 7]), new ReadOnlyMemory<int>([8])], new() { Dimensions = 8 });
        var exception = await Assert.ThrowsAsync<ClientResultException>(() => _client.GenerateEmbeddingAsync("a", new() { Dimensions = 100_000 }));

        Assert.All(vectors, vector => Assert.Equal(8, vector.ToFloats().Length));
        Assert.Equal(400, exception.Status);
        Assert.Equal("dimensions", OpenAIDotNet.ErrorOf(exception).Parameter);
    }
}
