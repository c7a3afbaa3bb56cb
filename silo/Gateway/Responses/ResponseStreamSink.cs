using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Granary.Silo.Gateway.Streams;
using Microsoft.AspNetCore.Http.Features;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Sends a response as the API's events, numbered from 0. It begins with the first token, so that a refusal before it has its own status.</summary>
/// <remarks>Every token with text is one event, whoever sends it: an event's number is how far a client is that has it.</remarks>
internal sealed class ResponseStreamSink : IChoiceSink, IDisposable
{
    private readonly HttpResponse _response;
    private readonly ResponsePlan _plan;
    private readonly ResponseWriter _writer;
    private readonly PipeWriter _pipe;
    private readonly Utf8JsonWriter _json;
    private readonly ChoiceText _answer = new();
    private readonly EventIds? _ids;
    private ArrayBufferWriter<byte>? _held;
    private int _sequenceNumber;
    private bool _isNew;

    /// <param name="ids">Names the events, and says which of them the client has already; null where nobody could go on with the stream.</param>
    public ResponseStreamSink(HttpResponse response, ResponsePlan plan, ResponseWriter writer, EventIds? ids = null)
    {
        _response = response;
        _plan = plan;
        _writer = writer;
        _ids = ids;
        _pipe = response.BodyWriter;
        _json = new Utf8JsonWriter(_pipe, Json.WriterOptions);
    }

    /// <summary>Whether an event has been written; an error after that is an event as well.</summary>
    public bool Begun { get; private set; }

    /// <summary>What has been generated so far.</summary>
    public ChoiceText Answer => _answer;

    public async ValueTask BeginAsync(int choice, CancellationToken cancellationToken)
    {
        if (_ids is not null) await _ids.WhenReadyAsync(cancellationToken);
        WriteResponse("response.created", ResponseState.InProgress);
        WriteResponse("response.in_progress", ResponseState.InProgress);
        WriteItem("response.output_item.added", null, "in_progress");
        WritePart("response.content_part.added");
    }

    public ValueTask WriteAsync(ChoiceDelta delta, CancellationToken cancellationToken)
    {
        _answer.Text.Append(delta.Text);
        if (delta.Logprobs is { } logprobs) _answer.Logprobs.Add((delta.TokenId, logprobs));
        BeginContentEvent("response.output_text.delta");
        _json.WriteString("delta"u8, delta.Text);
        ResponseLogprobs.Write(_json, _plan.Generation.Model.Tokenizer, delta.Logprobs is { } token ? [(delta.TokenId, token)] : []);
        EndEvent();
        return ValueTask.CompletedTask;
    }

    public async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        if (_pipe.UnflushedBytes > 0) await _pipe.FlushAsync(cancellationToken);
    }

    public ValueTask EndAsync(ChoiceEnd end, CancellationToken cancellationToken)
    {
        _answer.FinishReason = end.FinishReason;
        BeginContentEvent("response.output_text.done");
        _json.WriteString("text"u8, _answer.Text.ToString());
        ResponseLogprobs.Write(_json, _plan.Generation.Model.Tokenizer, _answer.Logprobs);
        EndEvent();
        WritePart("response.content_part.done");
        WriteItem("response.output_item.done", _answer, ResponseState.IsCut(_answer) ? "incomplete" : "completed");
        return ValueTask.CompletedTask;
    }

    /// <summary>Ends the stream, well or not; the event's name tells the status.</summary>
    public async Task CompleteAsync(ResponseState state, CancellationToken cancellationToken)
    {
        WriteResponse($"response.{state.Status}", state);
        _ids?.RequireWithin(0, StreamPosition.Behind(_sequenceNumber - 1));
        if (!Begun) _response.StatusCode = StatusCodes.Status204NoContent; // It has everything; browsers stop coming back by it.
        await _pipe.FlushAsync(cancellationToken);
    }

    public void Dispose() => _json.Dispose();

    private void WriteResponse(string type, in ResponseState state)
    {
        BeginEvent(type);
        _json.WritePropertyName("response"u8);
        _writer.Write(_json, state);
        EndEvent();
    }

    private void WriteItem(string type, ChoiceText? answer, string status)
    {
        BeginEvent(type);
        _json.WriteNumber("output_index"u8, 0);
        _json.WritePropertyName("item"u8);
        _writer.WriteItem(_json, answer, status);
        EndEvent();
    }

    private void WritePart(string type)
    {
        BeginContentEvent(type);
        _json.WritePropertyName("part"u8);
        _writer.WritePart(_json, _answer);
        EndEvent();
    }

    private void BeginContentEvent(string type)
    {
        BeginEvent(type);
        _json.WriteString("item_id"u8, _plan.MessageId);
        _json.WriteNumber("output_index"u8, 0);
        _json.WriteNumber("content_index"u8, 0);
    }

    private void BeginEvent(string type)
    {
        _isNew = _ids?.Advance(0, StreamPosition.Behind(_sequenceNumber)) != false;
        if (_isNew)
        {
            Begin();
            Append("event: "u8);
            Encoding.ASCII.GetBytes(type, _pipe);
            Append("\n"u8);
            _ids?.Write(_pipe);
            Append("data: "u8);
        }
        else
        {
            _json.Reset(_held ??= new ArrayBufferWriter<byte>());
        }

        _json.WriteStartObject();
        _json.WriteString("type"u8, type);
        _json.WriteNumber("sequence_number"u8, _sequenceNumber++);
    }

    private void EndEvent()
    {
        _json.WriteEndObject();
        _json.Flush();
        if (_isNew)
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

    private void Append(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_pipe.GetSpan(bytes.Length));
        _pipe.Advance(bytes.Length);
    }
}
