using System.Buffers;
using System.Text;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Streams;
using Granary.Silo.Gateway.Streams;
using Granary.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace Granary.Tests.Conformance.Streams;

/// <summary>A journal that answers late, or never: events have ids once it has begun, and wait for that no longer than they may.</summary>
public sealed class RecorderTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly ManualTime _time = new();
    private readonly HeldJournal _journal = new();
    private readonly RecordedChoice[] _choices = [new()];
    private readonly StreamRecorder _recorder;
    private readonly EventIds _ids;

    public RecorderTests()
    {
        var head = new StreamHead
        {
            Endpoint = "/v1/completions",
            Body = [1],
            Owner = [],
            Created = ManualTime.Start,
            Deadline = ManualTime.Start,
            Seed = 1,
            Fingerprint = "f",
        };
        _recorder = new(_journal, head, 1, isKept: false, _choices, 1 << 20, Limit, _time, NullLogger.Instance);
        _ids = new(new($"cmpl-{Guid.Empty:N}", null, StreamStage.Choices), 1, _recorder);
        _recorder.Start();
    }

    public void Dispose() => _recorder.Dispose();

    [Fact]
    public async Task Begin_JournalAnswers_TheFirstEventHasAnId()
    {
        var ready = _ids.WhenReadyAsync(default).AsTask();
        Assert.False(ready.IsCompleted);
        Assert.Equal("", Line(1));

        _journal.Answer.SetResult(StreamAppend.Kept);

        await ready.WaitAsync(Patience);
        Assert.Equal($"id: cmpl-{Guid.Empty:N}/2\n", Line(2));
    }

    [Fact]
    public async Task Begin_JournalIsSilent_EventsHaveNoIdsUntilItAnswers()
    {
        var ready = _ids.WhenReadyAsync(default).AsTask();
        _time.Advance(Limit);
        await ready.WaitAsync(Patience);
        Assert.True(_ids.WhenReadyAsync(default).AsTask().IsCompletedSuccessfully); // Another choice: the time is over for the whole stream.
        Assert.Equal("", Line(1));

        _recorder.Add(0, new TokenChunk { Index = 0, TokenId = 5 });
        _journal.Answer.SetResult(StreamAppend.Kept);
        _recorder.Dispose();
        await _journal.Ended.Task.WaitAsync(Patience);

        Assert.Equal($"id: cmpl-{Guid.Empty:N}/2\n", Line(2));
        Assert.Equal([1, 0], _journal.Batches.Select(batch => batch.Head is null ? 0 : 1));
        Assert.Equal([5], _journal.Batches[1].Choices[0].TokenIds);
    }

    [Fact]
    public async Task Begin_ClientLeaves_WaitsNoLonger()
    {
        using var left = new CancellationTokenSource();
        var ready = _ids.WhenReadyAsync(left.Token).AsTask();

        await left.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ready.WaitAsync(Patience));
    }

    /// <summary>A gateway whose stream waits for tokens hears that its client reads elsewhere.</summary>
    [Fact]
    public async Task NoTokens_TellsSignsOfLife_AndHearsThatTheStreamIsTaken()
    {
        _journal.Answer.SetResult(StreamAppend.Kept);
        await _ids.WhenReadyAsync(default).AsTask().WaitAsync(Patience);
        var taken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var _ = _recorder.TakenOver.Register(taken.SetResult);
        _journal.Answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

        _time.Advance(StreamRecorder.BatchPeriod);
        await _journal.Ended.Task.WaitAsync(Patience);
        Assert.Null(_journal.Batches[1].Head);
        Assert.Empty(_journal.Batches[1].Choices);
        _journal.Answer.SetResult(StreamAppend.TakenOver);

        await taken.Task.WaitAsync(Patience);
        _time.Advance(StreamRecorder.BatchPeriod);
        Assert.Equal(2, _journal.Batches.Count); // Nothing is told any more.
    }

    private string Line(int tokens)
    {
        var output = new ArrayBufferWriter<byte>();
        Assert.True(_ids.Advance(0, StreamPosition.Behind(tokens)));
        _ids.Write(output);
        return Encoding.ASCII.GetString(output.WrittenSpan);
    }

    /// <summary>Answers when a test says so.</summary>
    private sealed class HeldJournal : IStreamGrain
    {
        public TaskCompletionSource<StreamAppend> Answer { get; set; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public List<StreamBatch> Batches { get; } = [];

        public async Task<StreamAppend> AppendAsync(StreamBatch batch, CancellationToken cancellationToken = default)
        {
            Batches.Add(batch);
            if (Batches.Count == 2) Ended.SetResult();
            return await Answer.Task;
        }

        public Task<StreamJournal?> TakeOverAsync(byte[] owner, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public Task ForgetAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();
    }
}
