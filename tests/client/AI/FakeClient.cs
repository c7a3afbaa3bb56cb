using Granary.Client;

namespace Granary.Tests.Client.AI;

/// <summary>Records what is asked and says what a script has for it.</summary>
internal sealed class FakeClient(params string[] answers) : GranaryClient
{
    public static readonly DateTimeOffset Created = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    public List<ChatRequest> Chats { get; } = [];

    public List<EmbeddingRequest> Embeddings { get; } = [];

    public bool IsDisposed { get; private set; }

    public override Uri? Endpoint => new("http://gateway:8080");

    public override string? DefaultModel => "default";

    public override async IAsyncEnumerable<GenerationUpdate> ChatAsync(
        ChatRequest request, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var answer = answers[Chats.Count];
        Chats.Add(request);
        await Task.Yield();
        var update = new GenerationUpdate { ResponseId = $"chatcmpl-{Chats.Count}", Model = request.Model ?? "default", Created = Created };
        foreach (var word in answer.Split(' ')) yield return update with { Text = word + " " };
        cancellationToken.ThrowIfCancellationRequested();
        yield return update with { FinishReason = "length" };
        yield return update with { Usage = new(10, 4, 2) };
    }

    public override IAsyncEnumerable<GenerationUpdate> CompleteAsync(CompletionRequest request, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public override Task<EmbeddingResponse> EmbedAsync(EmbeddingRequest request, CancellationToken cancellationToken = default)
    {
        Embeddings.Add(request);
        return Task.FromResult(new EmbeddingResponse(
            request.Model ?? "default", [.. request.Inputs.Select(input => (ReadOnlyMemory<float>)new[] { (float)input.Length })], request.Inputs.Count));
    }

    public override Task<IReadOnlyList<ModelInfo>> GetModelsAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public override Task<int[]> TokenizeAsync(string? model, string text, bool addSpecialTokens = true, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public override Task<string> DetokenizeAsync(string? model, IReadOnlyList<int> ids, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public override ValueTask DisposeAsync()
    {
        IsDisposed = true;
        return ValueTask.CompletedTask;
    }
}
