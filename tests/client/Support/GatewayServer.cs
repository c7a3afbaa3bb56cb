using System.Collections.Concurrent;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Granary.Tests.Client.Support;

/// <summary>What a request brought.</summary>
internal sealed record ReceivedRequest(string Method, string Path, JsonNode? Body, IReadOnlyDictionary<string, string> Headers);

/// <summary>A gateway on a free port that gives each request the next answer of a script.</summary>
internal sealed class GatewayServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<Func<HttpContext, Task>> _answers = new();
    private readonly ConcurrentQueue<ReceivedRequest> _received = new();

    private GatewayServer()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _app = builder.Build();
        _app.Run(AnswerAsync);
    }

    public Uri Address => new(_app.Urls.Single());

    public IReadOnlyList<ReceivedRequest> Received => [.. _received];

    public static async Task<GatewayServer> StartAsync(params Func<HttpContext, Task>[] answers)
    {
        var server = new GatewayServer();
        foreach (var answer in answers) server._answers.Enqueue(answer);
        await server._app.StartAsync();
        return server;
    }

    public static Func<HttpContext, Task> Json(int status, string body, params (string Name, string Value)[] headers) => context =>
    {
        foreach (var (name, value) in headers) context.Response.Headers[name] = value;
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(body);
    };

    public static Func<HttpContext, Task> Error(int status, string message, string? parameter = null, string? code = null, params (string Name, string Value)[] headers) =>
        Json(status, new JsonObject { ["error"] = new JsonObject { ["message"] = message, ["type"] = "x", ["param"] = parameter, ["code"] = code } }.ToJsonString(), headers);

    /// <summary>A stream of frames and nothing else.</summary>
    public static Func<HttpContext, Task> Frames(params string[] frames) => async context =>
    {
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers["x-request-id"] = "from-the-gateway";
        foreach (var frame in frames)
        {
            await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes($"data: {frame}\n\n"));
            await context.Response.Body.FlushAsync();
        }
    };

    /// <summary>Frames, and then whatever else happens.</summary>
    public static Func<HttpContext, Task> FramesThen(string[] frames, Func<HttpContext, Task> then) => async context =>
    {
        await Frames(frames)(context);
        await then(context);
    };

    /// <summary>Holds the connection until the client closes it.</summary>
    public static Func<HttpContext, Task> UntilAborted(TaskCompletionSource aborted) => async context =>
    {
        var gone = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var _ = context.RequestAborted.Register(gone.SetResult);
        await gone.Task;
        aborted.SetResult();
    };

    public static Task Abort(HttpContext context)
    {
        context.Abort();
        return Task.CompletedTask;
    }

    /// <summary>One frame of a chat.</summary>
    public static string Chunk(string? content, string? finishReason = null, int index = 0) => new JsonObject
    {
        ["id"] = "chatcmpl-1",
        ["object"] = "chat.completion.chunk",
        ["created"] = 1_700_000_000,
        ["model"] = "tiny",
        ["choices"] = new JsonArray(new JsonObject
        {
            ["index"] = index,
            ["delta"] = content is null ? new JsonObject() : new JsonObject { ["content"] = content },
            ["logprobs"] = null,
            ["finish_reason"] = finishReason,
        }),
    }.ToJsonString();

    /// <summary>The frame before the end mark.</summary>
    public static string Usage(int prompt, int cached, int completion) =>
        $$$"""{"id":"chatcmpl-1","created":1700000000,"model":"tiny","choices":[],"usage":{"prompt_tokens":{{{prompt}}},"completion_tokens":{{{completion}}},"total_tokens":0,"prompt_tokens_details":{"cached_tokens":{{{cached}}} } } }""";

    /// <summary>A whole chat that says the text in one frame.</summary>
    public static Func<HttpContext, Task> Says(string text) => Frames(Chunk(""), Chunk(text), Chunk(null, "stop"), Usage(3, 1, 2), "[DONE]");

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        using var reader = new StreamReader(context.Request.Body);
        var body = await reader.ReadToEndAsync();
        _received.Enqueue(new(
            context.Request.Method, context.Request.Path, body.Length == 0 ? null : JsonNode.Parse(body),
            context.Request.Headers.ToDictionary(header => header.Key.ToLowerInvariant(), header => header.Value.ToString())));
        if (_answers.TryDequeue(out var answer)) await answer(context);
        else context.Response.StatusCode = StatusCodes.Status500InternalServerError;
    }
}
