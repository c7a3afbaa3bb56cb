namespace Granary.Client;

/// <summary>A Granary cluster, over grains or over HTTP: the same calls, the same results, the same errors.</summary>
/// <remarks>Safe for any thread; one instance serves a whole application.</remarks>
public abstract class GranaryClient : IAsyncDisposable
{
    /// <summary>How long a connection is used before the gateway's address is looked up again.</summary>
    private static readonly TimeSpan ConnectionLifetime = TimeSpan.FromMinutes(2);

    /// <summary>A client over HTTP, without dependency injection.</summary>
    /// <param name="options"><see cref="GranaryClientOptions.Endpoint"/> must be set. They are copied.</param>
    /// <param name="handler">What sends the requests, not disposed with the client; null for one of its own.</param>
    /// <exception cref="ArgumentException">An option is out of its bounds; the message names option, value and bound.</exception>
    public static GranaryClient Connect(GranaryClientOptions options, HttpMessageHandler? handler = null) =>
        Connect(options, handler, TimeProvider.System, new Random());

    internal static GranaryClient Connect(GranaryClientOptions options, HttpMessageHandler? handler, TimeProvider time, Random random)
    {
        ArgumentNullException.ThrowIfNull(options);
        var failures = GranaryClientOptionsValidator.Find(options).ToList();
        if (options.Endpoint is null) failures.Add($"{nameof(GranaryClientOptions)}.{nameof(options.Endpoint)} is missing; a client over HTTP needs it.");
        if (failures.Count > 0) throw new ArgumentException(string.Join(" ", failures), nameof(options));
        var http = new HttpClient(handler ?? new SocketsHttpHandler { PooledConnectionLifetime = ConnectionLifetime }, disposeHandler: handler is null)
        {
            Timeout = Timeout.InfiniteTimeSpan, // Each call has its own.
        };
        return new TracedGranaryClient(new HttpGranaryClient(() => http, options.Copy(), time, random, http), options.Endpoint);
    }

    /// <summary>The gateway's address; null over grains.</summary>
    public virtual Uri? Endpoint => null;

    /// <summary>The model of requests that name none; null for the only one of the cluster.</summary>
    public virtual string? DefaultModel => null;

    /// <summary>Continues a conversation. Updates of one choice are in order; several choices come interleaved.</summary>
    /// <remarks>Every choice ends with one update that has a finish reason; the last update of all has the usage. Leaving the enumeration ends the generation.</remarks>
    /// <exception cref="GranaryRequestException">A value is out of its bounds; the message names field, value and bound.</exception>
    /// <exception cref="GranaryUnavailableException">The model has no ready replica, or all are full, after the retries that the options allow.</exception>
    /// <exception cref="GranaryGenerationException">Generation failed after it had begun; what was delivered is right.</exception>
    /// <exception cref="TimeoutException">The request's deadline passed.</exception>
    public abstract IAsyncEnumerable<GenerationUpdate> ChatAsync(ChatRequest request, CancellationToken cancellationToken = default);

    /// <summary>Continues plain text or token ids; otherwise as <see cref="ChatAsync"/>.</summary>
    public abstract IAsyncEnumerable<GenerationUpdate> CompleteAsync(CompletionRequest request, CancellationToken cancellationToken = default);

    /// <summary>Turns texts into vectors, in their order.</summary>
    /// <exception cref="GranaryRequestException">A value is out of its bounds.</exception>
    /// <exception cref="GranaryUnavailableException">The model has no ready replica, or all are full.</exception>
    public abstract Task<EmbeddingResponse> EmbedAsync(EmbeddingRequest request, CancellationToken cancellationToken = default);

    /// <summary>What the cluster serves, by name in ordinal order.</summary>
    public abstract Task<IReadOnlyList<ModelInfo>> GetModelsAsync(CancellationToken cancellationToken = default);

    /// <summary>The ids of a text, as the model's tokenizer has it.</summary>
    /// <param name="addSpecialTokens">Whether to add what the model expects around a text.</param>
    public abstract Task<int[]> TokenizeAsync(string? model, string text, bool addSpecialTokens = true, CancellationToken cancellationToken = default);

    /// <summary>The text of ids, special tokens included.</summary>
    public abstract Task<string> DetokenizeAsync(string? model, IReadOnlyList<int> ids, CancellationToken cancellationToken = default);

    public abstract ValueTask DisposeAsync();
}

/// <summary>A served model.</summary>
/// <param name="ContextLength">Most tokens of prompt and answer together.</param>
public sealed record ModelInfo(string Name, DateTimeOffset Created, int ContextLength);
