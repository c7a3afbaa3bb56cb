using System.Runtime.InteropServices;
using System.Text.Json;
using Granary.GrainInterfaces.Streams;
using Granary.Silo.Gateway.Sessions;
using Granary.Silo.Hosting;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Runtime;

namespace Granary.Silo.Gateway.Streams;

/// <summary>Begins the journals of streams, and finds those of streams that others began.</summary>
internal sealed class StreamJournals(IGrainFactory grains, ApiKeys keys, IOptions<GranaryOptions> options, TimeProvider time, ILogger<StreamJournals> logger)
{
    private static readonly TimeSpan RetryAfterSilence = TimeSpan.FromSeconds(1);

    private readonly StreamsOptions _options = options.Value.Streams;

    /// <summary>The request's body where a journal needs it; null where there will be none.</summary>
    /// <param name="isStream">Whether the answer is streamed.</param>
    public byte[]? BodyOf(JsonDocument document, bool isStream)
    {
        if (!isStream || !_options.Resumable) return null;
        var body = JsonMarshal.GetRawUtf8Value(document.RootElement);
        return body.Length <= _options.MaxBytes / 2 ? body.ToArray() : null;
    }

    /// <summary>Begins the journal of a new stream, beside what the stream does; its first event waits for it (<see cref="EventIds.WhenReadyAsync"/>).</summary>
    /// <param name="body">As <see cref="BodyOf"/>; null for a stream that cannot be gone on with.</param>
    /// <param name="messageId">As <see cref="StreamHead.MessageId"/>.</param>
    /// <exception cref="ApiException">The header that names the session is no id, or another than the body's.</exception>
    public ResumableStream? Begin(HttpContext context, GenerationPlan plan, byte[]? body, string? messageId = null)
    {
        if (body is null) return null;
        var head = new StreamHead
        {
            Endpoint = context.Request.Path,
            Body = body,
            Owner = keys.OwnerOf(context.Request.Headers.Authorization, plan.Id),
            Created = plan.Created,
            Deadline = plan.Deadline,
            Seed = plan.Sampling[0].Seed,
            Fingerprint = plan.Model.Card.Fingerprint,
            MessageId = messageId,
            SessionId = SessionField.Choose(plan.SessionId, context),
        };
        var choices = Enumerable.Range(0, plan.ChoiceCount).Select(_ => new RecordedChoice()).ToArray();
        var recorder = Record(plan.Id, head, 1, isKept: false, choices);
        recorder.Start();
        return new(head, 1, choices, recorder, new EventIds(new(plan.Id, null, StreamStage.Choices), plan.ChoiceCount, recorder, TakesIds(context.Request)));
    }

    /// <summary>Takes a stream over from whichever gateway has it.</summary>
    /// <exception cref="ApiException">There is none of this id, or it is somebody else's; or the cluster does not answer.</exception>
    public async Task<StreamJournal> TakeOverAsync(HttpContext context, string id, CancellationToken cancellationToken)
    {
        if (!_options.Resumable || !LastEvent.IsStream(id)) throw ApiException.StreamNotFound(id);
        try
        {
            return await grains.GetGrain<IStreamGrain>(id).TakeOverAsync(keys.OwnerOf(context.Request.Headers.Authorization, id), cancellationToken)
                ?? throw ApiException.StreamNotFound(id);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            throw ApiException.StorageUnavailable("Journals of streams cannot be reached now.", RetryAfterSilence);
        }
    }

    /// <summary>Goes on with a stream that was taken over.</summary>
    /// <param name="plan">Read from the journal's body.</param>
    /// <returns>The stream, and its plan with what was drawn at its beginning.</returns>
    /// <exception cref="ApiException">The client claims what cannot be, or the model is another one by now.</exception>
    public (ResumableStream Stream, GenerationPlan Plan) GoOn(StreamJournal journal, LastEvent from, GenerationPlan plan)
    {
        var head = journal.Head;
        if (head.Fingerprint != plan.Model.Card.Fingerprint) throw ApiException.StreamNotFound(from.Stream);
        var choices = Enumerable.Range(0, plan.ChoiceCount)
            .Select(i => Array.Find(journal.Choices, choice => choice.Choice == i) is { } tokens ? new RecordedChoice(tokens) : new RecordedChoice()).ToArray();
        var restored = plan with
        {
            Id = from.Stream,
            SessionId = head.SessionId,
            Created = head.Created,
            Deadline = head.Deadline,
            Sampling = [.. plan.Sampling.Select(sampling => sampling with { Seed = head.Seed })],
        };
        var recorder = Record(from.Stream, head, journal.Takeover, isKept: true, choices);
        recorder.Start();
        return (new(head, journal.Takeover, choices, recorder, new EventIds(from, plan.ChoiceCount, recorder)), restored);
    }

    /// <summary>Clients that name the stream's type read it by its own rules. Some programs that do not take a frame for JSON as a whole, and would trip over an id.</summary>
    private static bool TakesIds(HttpRequest request) => request.Headers.Accept.ToString().Contains("text/event-stream", StringComparison.OrdinalIgnoreCase);

    private StreamRecorder Record(string id, StreamHead head, int takeover, bool isKept, RecordedChoice[] choices) =>
        new(grains.GetGrain<IStreamGrain>(id), head, takeover, isKept, choices, _options.MaxBytes, TimeSpan.FromMilliseconds(_options.BeginMilliseconds), time, logger);
}
