using System.Net.ServerSentEvents;

namespace Granary.Client;

/// <summary>The frames of one generation, over as many connections as it takes: where one breaks, the next goes on behind the last frame that came.</summary>
/// <remarks>Frames that came are never asked for again, and a gateway that goes on sends what the broken one would have sent: their reader notices nothing.</remarks>
internal sealed class ResumingFrames(
    GatewaySender sender, RetrySchedule retries, CallLimit limit, string path, ReadOnlyMemory<byte> body, int maxResumes) : IAsyncDisposable
{
    private const string EndMark = "[DONE]";
    private const string EventStream = "text/event-stream";

    private HttpResponseMessage? _response;
    private Stream? _bytes;
    private IAsyncEnumerator<SseItem<string>>? _frames;
    private string? _lastId;
    private int _failed;

    /// <summary>The request's id, once there was an answer.</summary>
    public string? RequestId { get; private set; }

    /// <summary>The next frame's JSON; null at the end mark.</summary>
    /// <exception cref="GranaryGenerationException">The stream broke, and no gateway could go on with it.</exception>
    public async Task<string?> NextAsync()
    {
        if (_frames is null) await OpenAsync(token => sender.SendAsync(path, body, limit.Deadline, token, EventStream));
        while (true)
        {
            GranaryGenerationException broken;
            try
            {
                if (await limit.RunAsync(_ => _frames!.MoveNextAsync().AsTask()))
                {
                    var frame = _frames!.Current;
                    if (frame.Data == EndMark) return null;
                    (_lastId, _failed) = (frame.EventId ?? _lastId, 0);
                    return frame.Data;
                }

                broken = new GranaryGenerationException("The stream ended without its end mark.") { RequestId = RequestId };
            }
            catch (InvalidDataException exception)
            {
                throw Broken(exception); // What cannot be read once cannot be read twice.
            }
            catch (Exception exception) when (exception is IOException or HttpRequestException)
            {
                broken = Broken(exception);
            }

            if (_lastId is null || !await GoOnAsync(broken)) throw broken;
            if (_frames is null) return null;
        }
    }

    public ValueTask DisposeAsync() => CloseAsync();

    /// <summary>Asks for what follows, until somebody has it or nobody can.</summary>
    private async Task<bool> GoOnAsync(GranaryGenerationException broken)
    {
        TimeSpan? retryAfter = null;
        while (await limit.RunAsync(token => retries.WaitAsync(++_failed, retryAfter, limit.Deadline, token, maxResumes)))
        {
            try
            {
                await OpenAsync(token => sender.SendOnceAsync(path, body, RequestId, EventStream, _lastId, token));
                return true;
            }
            catch (GranaryUnavailableException exception)
            {
                retryAfter = exception.RetryAfter;
            }
            catch (GranaryGenerationException)
            {
                retryAfter = null; // Of a proxy whose gateway is gone, as a rule.
            }
            catch (GranaryRequestException exception)
            {
                throw new GranaryGenerationException($"{broken.Message} No gateway could go on with it: {exception.Message}", broken) { RequestId = RequestId };
            }
        }

        return false;
    }

    private async Task OpenAsync(Func<CancellationToken, Task<HttpResponseMessage>> send)
    {
        await CloseAsync();
        _response = await limit.RunAsync(send);
        RequestId = GatewayErrors.IdOf(_response) ?? RequestId;
        if (_response.StatusCode == System.Net.HttpStatusCode.NoContent) return; // Nothing is lacking.
        if (_response.Content.Headers.ContentType?.MediaType is var type && type != EventStream)
            throw new GranaryGenerationException($"The gateway answered with {type ?? "no content type"} instead of a stream.") { RequestId = RequestId };
        _bytes = await limit.RunAsync(_response.Content.ReadAsStreamAsync);
        _frames = SseParser.Create(new BoundedLines(_bytes)).EnumerateAsync(limit.Token).GetAsyncEnumerator(limit.Token);
    }

    /// <remarks>It closes the connection: a gateway that still generates ends by it.</remarks>
    private async ValueTask CloseAsync()
    {
        if (_frames is not null) await _frames.DisposeAsync();
        if (_bytes is not null) await _bytes.DisposeAsync();
        _response?.Dispose();
        (_frames, _bytes, _response) = (null, null, null);
    }

    private GranaryGenerationException Broken(Exception exception) => new($"The stream broke: {exception.Message}", exception) { RequestId = RequestId };
}
