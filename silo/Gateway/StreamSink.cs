using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using Granary.GrainInterfaces;
using Granary.Silo.Gateway.Streams;
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
    private readonly EventIds? _ids;
    private ArrayBufferWriter<byte>? _held;

    /// <param name="ids">Names the events, and says which of them the client has already; null where nobody could go on with the stream.</param>
    public StreamSink(HttpResponse response, ResponseShape shape, int choices, EventIds? ids = null)
    {
        _response = response;
        _shape = shape;
        _ids = ids;
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
        if (_ids is not null) await _ids.WhenReadyAsync(cancellationToken);
        await _turn.WaitAsync(cancellationToken);
        try
        {
            if (_ids?[choice].HasBegun != true) Begin();
            if (!_shape.HasOpening) return;
            var isNew = BeginFrame(choice, StreamPosition.Opened);
            _shape.WriteOpening(_json, choice);
            EndFrame(isNew);
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
            var position = StreamPosition.Ended(end.GeneratedTokens);
            _ids?.RequireWithin(end.Choice, position);
            var isNew = BeginFrame(end.Choice, position);
            _shape.WriteEnd(_json, end);
            EndFrame(isNew);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Ends a stream that went well. No choice runs any more.</summary>
    public async Task CompleteAsync(Usage? usage, CancellationToken cancellationToken)
    {
        if (usage is { } tokens && _ids?.Advance(StreamStage.Usage) != false)
        {
            BeginFrame(hasId: true);
            _shape.WriteUsageFrame(_json, tokens);
            EndFrame(isNew: true);
        }

        if (_ids?.Advance(StreamStage.Done) != false)
            await WriteDoneAsync(hasId: true, cancellationToken);
        else if (!Begun)
            _response.StatusCode = StatusCodes.Status204NoContent; // It has everything; browsers stop coming back by it.
    }

    /// <summary>Ends a stream that failed: clients wait for the end mark whatever happened. No choice runs any more.</summary>
    /// <remarks>Without ids, so that whoever comes back goes on behind what was right.</remarks>
    public async Task FailAsync(ApiException error, CancellationToken cancellationToken)
    {
        BeginFrame(hasId: false);
        ApiErrors.WriteBody(_json, error);
        EndFrame(isNew: true);
        await WriteDoneAsync(hasId: false, cancellationToken);
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
        // Flushing nothing would begin the response, before a client that comes back lacks anything.
        await EndTurnAsync(_pipe.UnflushedBytes > 0 ? _pipe.FlushAsync(cancellationToken) : default);
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
        var position = StreamPosition.Behind(delta.Progress.GeneratedTokens, delta.IsLast);
        if (delta.Logprobs is null && _shape.OnlyTextVaries)
        {
            if (_ids?.Advance(delta.Choice, position) == false) return;
            Begin();
            _ids?.Write(_pipe);
            (_frames[delta.Choice] ??= TextFrame.Of(_shape, delta.Choice)).Write(_pipe, delta.Text);
            return;
        }

        var isNew = BeginFrame(delta.Choice, position);
        _shape.WriteDelta(_json, delta);
        EndFrame(isNew);
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

    /// <summary>Begins a choice's frame, or something in its place that nobody gets: shapes count what they write.</summary>
    /// <returns>Whether the client lacks it.</returns>
    private bool BeginFrame(int choice, StreamPosition position)
    {
        if (_ids?.Advance(choice, position) != false)
        {
            BeginFrame(hasId: true);
            return true;
        }

        _json.Reset(_held ??= new ArrayBufferWriter<byte>());
        return false;
    }

    private void BeginFrame(bool hasId)
    {
        Begin();
        if (hasId) _ids?.Write(_pipe);
        Append("data: "u8);
    }

    private void EndFrame(bool isNew)
    {
        _json.Flush();
        if (isNew)
        {
            _json.Reset();
            Append("\n\n"u8);
        }
        else
        {
            _json.Reset(_pipe);
            _held!.ResetWrittenCount();
        }
    }

    private async Task WriteDoneAsync(bool hasId, CancellationToken cancellationToken)
    {
        Begin();
        if (hasId) _ids?.Write(_pipe);
        Append("data: [DONE]\n\n"u8);
        await _pipe.FlushAsync(cancellationToken);
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_pipe.GetSpan(bytes.Length));
        _pipe.Advance(bytes.Length);
    }
}
