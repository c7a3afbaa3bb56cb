using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace Granary.Tests.Client.Cli;

/// <summary>A request as it came.</summary>
/// <param name="Number">From 0, in the order of arrival.</param>
/// <param name="Body">Null where there was none.</param>
internal sealed record ScriptedRequest(int Number, string Path, string? Authorization, JsonObject? Body);

/// <summary>Stands in for the network: the test answers.</summary>
internal sealed class ScriptedServer(Func<ScriptedRequest, CancellationToken, Task<HttpResponseMessage>> answer) : HttpMessageHandler
{
    private int _count;

    public List<ScriptedRequest> Requests { get; } = [];

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var body = request.Content is null ? null : JsonNode.Parse(await request.Content.ReadAsByteArrayAsync(cancellationToken))!.AsObject();
        var came = new ScriptedRequest(Interlocked.Increment(ref _count) - 1, request.RequestUri!.AbsolutePath, request.Headers.Authorization?.ToString(), body);
        lock (Requests) Requests.Add(came);
        return await answer(came, cancellationToken);
    }

    public static HttpResponseMessage Json(string json, HttpStatusCode status = HttpStatusCode.OK) =>
        new(status) { Content = new StringContent(json, Encoding.UTF8, "application/json") };

    /// <summary>Server-sent events; before each the action of its place runs, on the reader's way to it.</summary>
    public static HttpResponseMessage Events(params (Action? Before, string Data)[] events)
    {
        var content = new StreamContent(new EventStream(new Queue<(Action? Before, string Data)>(events)));
        content.Headers.ContentType = new("text/event-stream");
        return new HttpResponseMessage(HttpStatusCode.OK) { Content = content };
    }

    /// <summary>A chat's frame as the gateway writes it.</summary>
    public static string Chunk(string? content, string? finish = null, bool role = false)
    {
        var delta = new JsonObject();
        if (role) delta["role"] = "assistant";
        if (content is not null) delta["content"] = content;
        return Frame(new JsonArray(new JsonObject { ["index"] = 0, ["delta"] = delta, ["logprobs"] = null, ["finish_reason"] = finish }));
    }

    public static string Usage(int prompt, int cached, int completion) => Frame([], new JsonObject
    {
        ["prompt_tokens"] = prompt,
        ["completion_tokens"] = completion,
        ["total_tokens"] = prompt + completion,
        ["prompt_tokens_details"] = new JsonObject { ["cached_tokens"] = cached },
    });

    private static string Frame(JsonArray choices, JsonObject? usage = null) => new JsonObject
    {
        ["id"] = "chat-1",
        ["object"] = "chat.completion.chunk",
        ["created"] = 1_700_000_000,
        ["model"] = "toy",
        ["choices"] = choices,
        ["usage"] = usage,
    }.ToJsonString();

    /// <summary>A read never gives parts of two events, so the reader has dealt with the one before when it asks for the next.</summary>
    private sealed class EventStream(Queue<(Action? Before, string Data)> events) : Stream
    {
        private ReadOnlyMemory<byte> _rest;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return ValueTask.FromResult(Read(buffer.Span));
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer)
        {
            if (_rest.IsEmpty)
            {
                if (!events.TryDequeue(out var next)) return 0;
                next.Before?.Invoke();
                _rest = Encoding.UTF8.GetBytes($"data: {next.Data}\n\n");
            }

            var count = Math.Min(_rest.Length, buffer.Length);
            _rest.Span[..count].CopyTo(buffer);
            _rest = _rest[count..];
            return count;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
