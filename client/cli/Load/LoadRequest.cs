using System.Net.Http.Headers;
using System.Net.ServerSentEvents;
using System.Text.Json;

namespace Granary.Client.Cli.Load;

/// <summary>Sends one streaming request of the OpenAI API and times its frames.</summary>
internal sealed class LoadRequest(LoadSettings settings, HttpMessageInvoker http, TimeProvider time)
{
    private static readonly MediaTypeHeaderValue Json = new("application/json");
    private readonly Uri _address = AddressOf(settings.Url, settings.Endpoint == LoadEndpoint.Chat ? "chat/completions" : "completions");

    /// <param name="url">A server's root, or its API's (<c>…/v1</c>).</param>
    public static Uri AddressOf(Uri url, string path)
    {
        var root = url.AbsoluteUri.TrimEnd('/');
        return new Uri(root.EndsWith("/v1", StringComparison.Ordinal) ? $"{root}/{path}" : $"{root}/v1/{path}");
    }

    public byte[] BodyOf(Prompt prompt)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("model"u8, settings.Model);
            if (settings.Endpoint == LoadEndpoint.Chat)
            {
                json.WriteStartArray("messages"u8);
                json.WriteStartObject();
                json.WriteString("role"u8, "user"u8);
                json.WriteString("content"u8, prompt.Text);
                json.WriteEndObject();
                json.WriteEndArray();
            }
            else
            {
                json.WriteString("prompt"u8, prompt.Text);
            }

            json.WriteNumber("max_tokens"u8, prompt.OutputTokens);
            if (settings.Temperature is { } temperature) json.WriteNumber("temperature"u8, temperature);
            if (settings.IgnoreEos) json.WriteBoolean("ignore_eos"u8, true);
            json.WriteBoolean("stream"u8, true);
            json.WriteStartObject("stream_options"u8);
            json.WriteBoolean("include_usage"u8, true);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    /// <param name="started">The run's start, as a timestamp.</param>
    /// <param name="due">When the request was to be sent, as a timestamp; all times count from it.</param>
    /// <exception cref="OperationCanceledException">The run was stopped; there is no outcome.</exception>
    public async Task<RequestOutcome> SendAsync(int index, byte[] body, long started, long due, CancellationToken stop)
    {
        using var timeout = new CancellationTokenSource(settings.Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, timeout.Token);
        var outcome = new RequestOutcome(index, time.GetElapsedTime(started, due), time.GetElapsedTime(due));
        var error = "no text";
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, _address) { Content = new ByteArrayContent(body) { Headers = { ContentType = Json } } };
            if (settings.ApiKey is { } key) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
            using var response = await http.SendAsync(request, either.Token);
            if (response.IsSuccessStatusCode)
                return await ReadAsync(response, outcome, due, either.Token);
            error = $"HTTP {(int)response.StatusCode}";
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested && timeout.IsCancellationRequested)
        {
            error = "timeout";
        }
        catch (Exception exception) when (exception is JsonException or InvalidDataException)
        {
            error = "frame not valid";
        }
        catch (HttpRequestException exception)
        {
            error = exception.HttpRequestError == HttpRequestError.ConnectionError ? "no connection" : "connection lost";
        }
        catch (IOException)
        {
            error = "connection lost";
        }

        return outcome with { EndToEnd = time.GetElapsedTime(due), Error = error };
    }

    private async Task<RequestOutcome> ReadAsync(HttpResponseMessage response, RequestOutcome outcome, long due, CancellationToken cancellationToken)
    {
        var (first, last, frames, done, failed) = (0L, 0L, 0, false, false);
        var gaps = new List<double>();
        FrameUsage? usage = null;
        await using var stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        await using var bounded = new BoundedLines(stream);
        await foreach (var item in SseParser.Create(bounded, TokenFrame.Parse).EnumerateAsync(cancellationToken))
        {
            var frame = item.Data;
            usage = frame.Usage ?? usage;
            failed |= frame.Kind == FrameKind.Error;
            done |= frame.Kind == FrameKind.Done;
            if (frame.Kind != FrameKind.Text) continue;
            var now = time.GetTimestamp();
            if (frames++ == 0)
                first = now;
            else
                gaps.Add(time.GetElapsedTime(last, now).TotalSeconds);
            last = now;
        }

        return outcome with
        {
            FirstToken = frames == 0 ? null : time.GetElapsedTime(due, first),
            Decoding = time.GetElapsedTime(first, last),
            EndToEnd = time.GetElapsedTime(due),
            Gaps = gaps,
            Frames = frames,
            Usage = usage,
            Error = failed ? "error in the stream" : !done ? "stream cut off" : frames == 0 ? "no text" : null,
        };
    }
}
