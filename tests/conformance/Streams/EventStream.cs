using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace Granary.Tests.Conformance.Streams;

/// <summary>One server-sent event as it came.</summary>
internal sealed record StreamEvent(string? Id, string? Type, string Data)
{
    public bool IsEnd => Data == "[DONE]";

    public JsonNode ToJson() => JsonNode.Parse(Data)!;
}

/// <summary>A stream that is read event by event, as a browser reads it: an event counts once its empty line is there.</summary>
internal sealed class EventStream : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly HttpResponseMessage _response;
    private readonly StreamReader _lines;

    private EventStream(HttpResponseMessage response, Stream body)
    {
        _response = response;
        _lines = new StreamReader(body);
    }

    /// <summary>Begins a stream, or goes on with one.</summary>
    /// <param name="body">Null for a GET.</param>
    public static async Task<HttpResponseMessage> SendAsync(HttpClient http, string path, JsonNode? body, string? lastEventId = null, string? key = null)
    {
        using var request = new HttpRequestMessage(body is null ? HttpMethod.Get : HttpMethod.Post, path);
        request.Headers.Add("Accept", "text/event-stream");
        if (lastEventId is not null) request.Headers.TryAddWithoutValidation("Last-Event-ID", lastEventId);
        if (key is not null) request.Headers.Add("Authorization", $"Bearer {key}");
        if (body is not null) request.Content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
        return await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    public static async Task<EventStream> OpenAsync(HttpClient http, string path, JsonNode? body, string? lastEventId = null, string? key = null)
    {
        var response = await SendAsync(http, path, body, lastEventId, key);
        Assert.True(response.StatusCode == HttpStatusCode.OK, response.StatusCode == HttpStatusCode.OK ? "" : await response.Content.ReadAsStringAsync());
        Assert.True(response.Content.Headers.ContentType?.MediaType == "text/event-stream", $"Headers are {response}");
        return new(response, await response.Content.ReadAsStreamAsync());
    }

    /// <summary>All events of a stream.</summary>
    public static async Task<List<StreamEvent>> ReadAllAsync(HttpClient http, string path, JsonNode? body, string? lastEventId = null)
    {
        await using var stream = await OpenAsync(http, path, body, lastEventId);
        return await stream.ReadRestAsync();
    }

    /// <summary>The next event; null at the end.</summary>
    public async Task<StreamEvent?> ReadAsync()
    {
        string? id = null, type = null, data = null;
        while (await _lines.ReadLineAsync().WaitAsync(Patience) is { } line)
        {
            if (line.Length == 0) return new(id, type, data!);
            var (name, value) = (line[..line.IndexOf(':')], line[(line.IndexOf(':') + 2)..]);
            switch (name)
            {
                case "id": id = value; break;
                case "event": type = value; break;
                case "data": data = value; break;
                default: throw new InvalidOperationException(line);
            }
        }

        return null;
    }

    public async Task<List<StreamEvent>> ReadAsync(int count)
    {
        var events = new List<StreamEvent>();
        while (events.Count < count) events.Add(await ReadAsync() ?? throw new EndOfStreamException());
        return events;
    }

    public async Task<List<StreamEvent>> ReadRestAsync()
    {
        var events = new List<StreamEvent>();
        while (await ReadAsync() is { } entry) events.Add(entry);
        Assert.All(events, entry => Assert.DoesNotContain("{\"error\":", entry.Data));
        return events;
    }

    public ValueTask DisposeAsync()
    {
        _response.Dispose();
        _lines.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>What the client has of each choice, whatever frames it came in.</summary>
    public static Dictionary<int, string> ByChoice(IEnumerable<StreamEvent> events)
    {
        var all = new Dictionary<int, string>();
        foreach (var entry in events.Where(entry => !entry.IsEnd))
        {
            foreach (var choice in entry.ToJson()["choices"]?.AsArray() ?? [])
            {
                var index = (int)choice!["index"]!;
                all[index] = all.GetValueOrDefault(index) + choice.ToJsonString() + "\n";
            }
        }

        return all;
    }
}
