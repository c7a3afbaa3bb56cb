using System.Net;
using System.Net.Http.Headers;

namespace Granary.Client;

/// <summary>Sends one request to the gateway until it is answered 200, refused, or out of attempts or time.</summary>
/// <remarks>
/// Tried again is what nobody took: 429, 503, and a connection that failed before it gave an answer. After such a failure the next gateway is asked, where
/// there are several. Once an answer has begun nothing is tried again here; <see cref="ResumingFrames"/> goes on with streams.
/// </remarks>
internal sealed class GatewaySender(Func<HttpClient> clients, GranaryClientOptions options, RetrySchedule retries, TimeProvider time)
{
    public const string RequestIdHeader = "x-request-id";

    private const string LastEventIdHeader = "Last-Event-ID";

    private readonly Uri[] _roots = [Root(options.Endpoint!), .. options.OtherEndpoints.Select(Root)];
    private int _current; // The one that answered last.

    /// <param name="path">Below the gateway's address, without a slash at its start.</param>
    /// <param name="body">JSON; null for a GET.</param>
    /// <param name="accept">The type that is wanted; null says nothing.</param>
    /// <returns>An answer of 200 whose body is still to be read.</returns>
    /// <exception cref="GranaryClientException">It was refused, or nobody took it.</exception>
    /// <exception cref="TimeoutException">The gateway says that its time is over.</exception>
    public async Task<HttpResponseMessage> SendAsync(string path, ReadOnlyMemory<byte>? body, DateTimeOffset deadline, CancellationToken cancellationToken, string? accept = null)
    {
        var id = Guid.NewGuid().ToString("N"); // One for all attempts: it is one request.
        for (var attempt = 1; ; attempt++)
        {
            GranaryUnavailableException unavailable;
            try
            {
                return await SendOnceAsync(path, body, id, accept, null, cancellationToken);
            }
            catch (GranaryUnavailableException exception)
            {
                unavailable = exception;
            }

            if (!await retries.WaitAsync(attempt, unavailable.RetryAfter, deadline, cancellationToken)) throw unavailable;
        }
    }

    /// <summary>One attempt of <see cref="SendAsync"/>.</summary>
    /// <param name="id">The request's; null for none.</param>
    /// <param name="lastEventId">The last event that came of a stream that is gone on with; the answer may be 204 then.</param>
    public async Task<HttpResponseMessage> SendOnceAsync(
        string path, ReadOnlyMemory<byte>? body, string? id, string? accept, string? lastEventId, CancellationToken cancellationToken)
    {
        var current = Volatile.Read(ref _current);
        var root = _roots[current];
        using var request = new HttpRequestMessage(body is null ? HttpMethod.Get : HttpMethod.Post, new Uri(root, path));
        if (id is not null) request.Headers.Add(RequestIdHeader, id);
        if (accept is not null) request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(accept));
        if (lastEventId is not null) request.Headers.TryAddWithoutValidation(LastEventIdHeader, lastEventId);
        if (options.ApiKey is { } key) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        if (body is { } bytes)
        {
            request.Content = new ReadOnlyMemoryContent(bytes);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }

        HttpResponseMessage response;
        try
        {
            response = await clients().SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        }
        catch (HttpRequestException exception)
        {
            var message = $"The gateway at {root} gave no answer: {exception.Message}";
            Interlocked.CompareExchange(ref _current, (current + 1) % _roots.Length, current);
            if (IsConnectionFailure(exception)) throw new GranaryUnavailableException(message, null, exception) { RequestId = id };
            throw new GranaryGenerationException(message, exception) { RequestId = id };
        }

        if (response.StatusCode == HttpStatusCode.OK || (lastEventId is not null && response.StatusCode == HttpStatusCode.NoContent)) return response;
        using (response) throw await GatewayErrors.ReadAsync(response, id ?? "", time, cancellationToken);
    }

    /// <summary>Whether the gateway was not reached, or left without an answer. A certificate that is wrong stays wrong.</summary>
    private static bool IsConnectionFailure(HttpRequestException exception) => exception.HttpRequestError is
        HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError or HttpRequestError.ProxyTunnelError or HttpRequestError.ResponseEnded
        || exception.InnerException is IOException;

    /// <summary>The address with a slash at its end, and without the <c>v1</c> that OpenAI's clients want there.</summary>
    private static Uri Root(Uri endpoint)
    {
        var text = endpoint.AbsoluteUri.TrimEnd('/');
        if (text.EndsWith("/v1", StringComparison.OrdinalIgnoreCase)) text = text[..^3];
        return new Uri(text + "/");
    }
}
