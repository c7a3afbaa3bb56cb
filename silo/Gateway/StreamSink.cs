using System.IO.Pipelines;
using System.Text.Json;
using Granary.GrainInterfaces;
using Microsoft.AspNetCore.Http.Features;

namespace Granary.Silo.Gateway;

/// <summary>Sends choices as server-sent events. The response begins with the first frame, so that a refusal before it has its own status.</summary>
/// <remarks>
/// One writer and one buffer for the whole response: a token allocates its text and nothing else. Tokens take the way without waiting:
/// choices seldom meet, and the socket is seldom behind.
/// </remarks>
internal sealed class StreamSink : IChoiceSink, IDisposable
{
    private readonly HttpResponse _response;
    private readonly ResponseShape _shape;
    private readonly PipeWriter _pipe;
    private readonly Utf8JsonWriter _json;
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly TextFrame?[] _frames;

    public StreamSink(HttpResponse response, ResponseShape shape, int choices)
    {
        _response = response;
        _shape = shape;
        _pipe = response.BodyWriter;
        _json = new Utf8JsonWriter(_pipe, Json.WriterOptions);
        _frames = new TextFrame?[choices];
    }

    /// <summary>Whether a frame has been written; an error after that goes into the stream.</summary>
    public bool Begun { get; private set; }

    public ValueTask PromptAsync(int choice, TokenLogprobs[] prompt, CancellationToken cancellationToken)
    {
        _shape.TakePrompt(choice, prompt);
        return ValueTask.CompletedTask;
    }

    public async ValueTask BeginAsync(int choice, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            Begin();
            if (!_shape.HasOpening) return;
            BeginFrame();
            _shape.WriteOpening(_json, choice);
            EndFrame();
        }
        finally
        {
            _turn.Release();
        }
    }

    public ValueTask WriteAsync(ChoiceDelta delta, CancellationToken cancellationToken)
    {
        if (_shape.KeepsForEnd(delta)) return ValueTask.CompletedTask;
        if (!_turn.Wait(0, CancellationToken.None)) return WriteInTurnAsync(delta, cancellationToken);
        try
        {
            Write(delta);
            return ValueTask.CompletedTask;
        }
        finally
        {
            _turn.Release();
        }
    }

    public ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        if (!_turn.Wait(0, CancellationToken.None)) return FlushInTurnAsync(cancellationToken);
        ValueTask<FlushResult> flush = default;
        try
        {
            if (_pipe.UnflushedBytes > 0) flush = _pipe.FlushAsync(cancellationToken);
            if (!flush.IsCompletedSuccessfully) return EndTurnAsync(flush);
            flush.GetAwaiter().GetResult();
        }
        catch
        {
            _turn.Release();
            throw;
        }

        _turn.Release();
        return ValueTask.CompletedTask;
    }

    public async ValueTask EndAsync(ChoiceEnd end, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            BeginFrame();
            _shape.WriteEnd(_json, end);
            EndFrame();
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Ends a stream that went well. No choice runs any more.</summary>
    public async Task CompleteAsync(Usage? usage, CancellationToken cancellationToken)
    {
        if (usage is { } tokens)
        {
            BeginFrame();
            _shape.WriteUsageFrame(_json, tokens);
            EndFrame();
        }

        await WriteDoneAsync(cancellationToken);
    }

    /// <summary>Ends a stream that failed: clients wait for the end mark whatever happened. No choice runs any more.</summary>
    public async Task FailAsync(ApiException error, CancellationToken cancellationToken)
    {
        BeginFrame();
        ApiErrors.WriteBody(_json, error);
        EndFrame();
        await WriteDoneAsync(cancellationToken);
    }

    public void Dispose()
    {
        _json.Dispose();
        _turn.Dispose();
    }

    private async ValueTask WriteInTurnAsync(ChoiceDelta delta, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            Write(delta);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async ValueTask FlushInTurnAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        await EndTurnAsync(_pipe.FlushAsync(cancellationToken));
    }

    private async ValueTask EndTurnAsync(ValueTask<FlushResult> flush)
    {
        try
        {
            await flush;
        }
        finally
        {
            _turn.Release();
        }
    }

    private void Write(ChoiceDelta delta)
    {
        if (delta.Logprobs is null && _shape.OnlyTextVaries)
        {
            (_frames[delta.Choice] ??= TextFrame.Of(_shape, delta.Choice)).Write(_pipe, delta.Text);
            return;
        }

        BeginFrame();
        _shape.WriteDelta(_json, delta);
        EndFrame();
    }

    private void Begin()
    {
        if (Begun) return;
        Begun = true;
        _response.StatusCode = StatusCodes.Status200OK;
        _response.ContentType = "text/event-stream; charset=utf-8";
        _response.Headers.CacheControl = "no-cache";
        _response.Headers["X-Accel-Buffering"] = "no";
        _response.HttpContext.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
    }

    private void BeginFrame() => Append("data: "u8);

    private void EndFrame()
    {
        _json.Flush();
        _json.Reset();
        Append("\n\n"u8);
    }

    private async Task WriteDoneAsync(CancellationToken cancellationToken)
    {
        Append("data: [DONE]\n\n"u8);
        await _pipe.FlushAsync(cancellationToken);
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_pipe.GetSpan(bytes.Length));
        _pipe.Advance(bytes.Length);
    }
}
