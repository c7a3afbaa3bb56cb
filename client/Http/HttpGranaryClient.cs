using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Granary.Client;

/// <summary>A cluster over its gateway's OpenAI API.</summary>
internal sealed class HttpGranaryClient : GranaryClient
{
    private const long MaxBodyBytes = 64L * 1024 * 1024;

    private readonly GranaryClientOptions _options;
    private readonly GatewaySender _sender;
    private readonly RetrySchedule _retries;
    private readonly TimeProvider _time;
    private readonly IDisposable? _owned;

    /// <param name="clients">Gives the HTTP client of the next attempt.</param>
    /// <param name="owned">Disposed with this.</param>
    public HttpGranaryClient(Func<HttpClient> clients, GranaryClientOptions options, TimeProvider time, Random random, IDisposable? owned = null)
    {
        _options = options;
        _time = time;
        _owned = owned;
        _retries = new RetrySchedule(options, time, random);
        _sender = new GatewaySender(clients, options, _retries, time);
    }

    public override Uri? Endpoint => _options.Endpoint;

    public override string? DefaultModel => _options.DefaultModel;

    public override IAsyncEnumerable<GenerationUpdate> ChatAsync(ChatRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        SettingsRules.Require(request.Settings, chat: true);
        SettingsRules.RequireMessages(request.Messages);
        return StreamAsync("v1/chat/completions", RequestJson.Chat(request, ModelOf(request.Model)), request.Settings.Timeout, cancellationToken);
    }

    public override IAsyncEnumerable<GenerationUpdate> CompleteAsync(CompletionRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        SettingsRules.Require(request.Settings, chat: false);
        SettingsRules.RequirePrompt(request);
        return StreamAsync("v1/completions", RequestJson.Completion(request, ModelOf(request.Model)), request.Settings.Timeout, cancellationToken);
    }

    public override Task<EmbeddingResponse> EmbedAsync(EmbeddingRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        SettingsRules.RequireEmbedding(request);
        return AskAsync(
            "v1/embeddings", RequestJson.Embedding(request, ModelOf(request.Model)), request.Timeout,
            body => AnswerReader.Embeddings(body, request.Inputs.Count), cancellationToken);
    }

    public override Task<IReadOnlyList<ModelInfo>> GetModelsAsync(CancellationToken cancellationToken = default) =>
        AskAsync("v1/models", null, null, AnswerReader.Models, cancellationToken);

    public override Task<int[]> TokenizeAsync(string? model, string text, bool addSpecialTokens = true, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(text);
        return AskAsync("tokenize", RequestJson.Tokenize(ModelOf(model), text, addSpecialTokens), null, AnswerReader.Tokens, cancellationToken);
    }

    public override Task<string> DetokenizeAsync(string? model, IReadOnlyList<int> ids, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(ids);
        return AskAsync("detokenize", RequestJson.Detokenize(ModelOf(model), ids), null, AnswerReader.Text, cancellationToken);
    }

    public override ValueTask DisposeAsync()
    {
        _owned?.Dispose();
        return ValueTask.CompletedTask;
    }

    private string? ModelOf(string? asked) => asked ?? _options.DefaultModel;

    private async IAsyncEnumerable<GenerationUpdate> StreamAsync(
        string path, ReadOnlyMemory<byte> body, TimeSpan? timeout, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var limit = new CallLimit(timeout ?? _options.Timeout, _time, cancellationToken);
        // Leaving the enumeration closes the connection: the gateway ends the generation by it.
        await using var frames = new ResumingFrames(_sender, _retries, limit, path, body, _options.MaxResumes);
        while (await frames.NextAsync() is { } frame)
        {
            foreach (var update in FrameReader.Read(frame, frames.RequestId)) yield return update;
        }
    }

    private async Task<T> AskAsync<T>(string path, ReadOnlyMemory<byte>? body, TimeSpan? timeout, Func<JsonElement, T> read, CancellationToken cancellationToken)
    {
        using var limit = new CallLimit(timeout ?? _options.Timeout, _time, cancellationToken);
        using var response = await limit.RunAsync(token => _sender.SendAsync(path, body, limit.Deadline, token));
        var id = GatewayErrors.IdOf(response);
        try
        {
            var bytes = await limit.RunAsync(async token =>
            {
                await response.Content.LoadIntoBufferAsync(MaxBodyBytes, token);
                return await response.Content.ReadAsByteArrayAsync(token);
            });
            using var document = JsonDocument.Parse(bytes);
            return read(document.RootElement);
        }
        catch (Exception exception) when (exception is IOException or HttpRequestException)
        {
            throw new GranaryGenerationException($"The answer broke: {exception.Message}", exception) { RequestId = id };
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new GranaryGenerationException($"The gateway sent an answer that cannot be read: {exception.Message}", exception) { RequestId = id };
        }
    }
}
