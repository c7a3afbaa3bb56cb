using System.Security.Cryptography;
using Granary.GrainInterfaces.Streams;
using Granary.Grains.Placement;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace Granary.Grains.Streams;

/// <summary>Keeps one stream's journal in memory, and where it is asked to in the default storage, for a while after its last write.</summary>
/// <remarks>
/// Ids are asked for by anybody: an activation that has nothing to keep goes at once. What is in memory is the truth while the activation lives: a writing
/// that fails is logged, and the next one writes all; a storage that has lost everything gets it again.
/// </remarks>
[AwayPlacement]
internal sealed partial class StreamGrain(
    [PersistentState("stream-head")] IPersistentState<StreamHeadState> head, [PersistentState("stream")] IPersistentState<StreamState> stored,
    StreamMemory memory, IGrainFactory grains, IOptions<StreamJournalOptions> options, TimeProvider time, ILogger<StreamGrain> logger) : Grain, IStreamGrain
{
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(1);

    private readonly StreamJournalOptions _options = options.Value;
    private IGrainTimer? _end;
    private bool _isHeadStored;

    private string Id => this.GetPrimaryKeyString();

    private bool IsKept => head.State.Head is not null && stored.State.ExpiresAt > time.GetUtcNow();

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _isHeadStored = head.RecordExists;
        if (IsKept) Hold();
        return Task.CompletedTask;
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        memory.Remove(Id);
        return Task.CompletedTask;
    }

    public async Task<StreamAppend> AppendAsync(StreamBatch batch, CancellationToken cancellationToken = default)
    {
        var state = stored.State;
        if (IsKept && batch.Takeover < state.Takeover) return StreamAppend.TakenOver;
        // A gateway that this journal has not heard of, as when it was lost: it is told everything anew, by the latest of them.
        var begins = !IsKept || batch.Takeover > state.Takeover;
        if (begins && batch.Head is null)
        {
            if (!IsKept) DeactivateOnIdle();
            return StreamAppend.Unknown;
        }

        // A sign of life: it changes nothing while there is time.
        if (!begins && batch.Choices.Length == 0 && state.ExpiresAt - time.GetUtcNow() > _options.Retention / 2) return StreamAppend.Kept;
        if (begins) Begin(batch.Head!, batch.Takeover);
        if (!state.Continues(batch.Choices)) return StreamAppend.Unknown;
        if (state.Bytes + batch.Choices.Sum(part => part.Bytes) > _options.MaxBytes) return StreamAppend.Full;
        foreach (var part in batch.Choices) state.Append(part);
        await KeepAsync(cancellationToken);
        return StreamAppend.Kept;
    }

    public async Task<StreamJournal?> TakeOverAsync(byte[] owner, CancellationToken cancellationToken = default)
    {
        if (!IsKept)
        {
            await ForgetAsync(cancellationToken);
            return null;
        }

        if (!CryptographicOperations.FixedTimeEquals(owner, head.State.Head!.Owner)) return null;
        stored.State.Takeover++;
        await KeepAsync(cancellationToken);
        return stored.State.ToJournal(head.State.Head);
    }

    public async Task ForgetAsync(CancellationToken cancellationToken = default)
    {
        DeactivateOnIdle();
        memory.Remove(Id);
        if (stored.RecordExists) await stored.ClearStateAsync(cancellationToken);
        if (head.RecordExists) await head.ClearStateAsync(cancellationToken);
        (stored.State, head.State) = (new StreamState(), new StreamHeadState());
    }

    private void Begin(StreamHead begun, int takeover)
    {
        _isHeadStored = false;
        var now = time.GetUtcNow();
        head.State = new() { Head = begun, ExpiresAt = (begun.Deadline > now ? begun.Deadline : now) + _options.Retention };
        stored.State.Begin(begun, takeover);
    }

    /// <summary>Keeps what has changed, for a while from now on.</summary>
    private async Task KeepAsync(CancellationToken cancellationToken)
    {
        stored.State.ExpiresAt = time.GetUtcNow() + _options.Retention;
        Hold();
        if (!_options.IsStored) return;
        try
        {
            try
            {
                await StoreAsync(cancellationToken);
            }
            catch (InconsistentStateException) when (!cancellationToken.IsCancellationRequested)
            {
                if (!await IsGoneAsync(cancellationToken)) throw;
                await StoreAsync(cancellationToken);
            }
        }
        catch (InconsistentStateException)
        {
            DeactivateOnIdle(); // What is written is another activation's, or of a writing that was thought to have failed: the next begins with it.
            throw;
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            LogNotStored(Id, exception);
        }
    }

    private async Task StoreAsync(CancellationToken cancellationToken)
    {
        if (!_isHeadStored) await head.WriteStateAsync(cancellationToken);
        _isHeadStored = true;
        await stored.WriteStateAsync(cancellationToken);
    }

    /// <summary>Whether the storage has lost what was written: then nobody else's is there, and what is in memory can be written anew.</summary>
    private async Task<bool> IsGoneAsync(CancellationToken cancellationToken)
    {
        var (begun, kept) = (head.State, stored.State);
        try
        {
            await head.ReadStateAsync(cancellationToken);
            await stored.ReadStateAsync(cancellationToken);
            _isHeadStored = head.RecordExists;
            return !stored.RecordExists;
        }
        finally
        {
            (head.State, stored.State) = (begun, kept);
        }
    }

    /// <summary>Counts what is kept, and sees to its end.</summary>
    private void Hold()
    {
        var remaining = stored.State.ExpiresAt - time.GetUtcNow();
        if (_end is null)
            _end = this.RegisterGrainTimer(static (grain, token) => grain.ForgetAsync(token), this, new GrainTimerCreationOptions { DueTime = remaining, Period = Timeout.InfiniteTimeSpan });
        else
            _end.Change(remaining, Timeout.InfiniteTimeSpan);
        DelayDeactivation(remaining + Slack); // Not before the timer.
        // Nobody waits for them: two journals that drop each other would wait forever.
        foreach (var other in memory.Add(Id, stored.State.Bytes)) _ = DropAsync(other);
    }

    private async Task DropAsync(string id)
    {
        try
        {
            await grains.GetGrain<IStreamGrain>(id).ForgetAsync();
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            LogNotDropped(id, exception);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Stream {Id} could not be stored: it is lost with this silo unless it is by the next batch.")]
    private partial void LogNotStored(string id, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Stream {Id} could not be dropped to make room; it stays until it expires.")]
    private partial void LogNotDropped(string id, Exception exception);
}
