using System.Security.Cryptography;
using Granary.GrainInterfaces.Streams;
using Granary.Grains.Placement;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Runtime;

namespace Granary.Grains.Streams;

/// <summary>Keeps one stream's journal in memory, and where it is asked to in the default storage, for a while after its last write.</summary>
/// <remarks>
/// Ids are asked for by anybody: an activation that has nothing to keep goes at once. Not where a gateway wrote to it, which then tells it everything.
/// What reaches an activation that is going is forwarded from there, and placed away from that silo instead of from the gateway's.
/// </remarks>
[AwayPlacement]
internal sealed partial class StreamGrain(
    [PersistentState("stream")] IPersistentState<StreamState> stored, StreamMemory memory, IGrainFactory grains,
    IClusterMembershipService membership, ILocalSiloDetails silo, IOptions<StreamJournalOptions> options, TimeProvider time, ILogger<StreamGrain> logger) : Grain, IStreamGrain
{
    /// <summary>How long an activation without anything to keep waits for it.</summary>
    private static readonly TimeSpan EmptyLifetime = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(1);

    private readonly StreamJournalOptions _options = options.Value;
    private IGrainTimer? _end;

    private string Id => this.GetPrimaryKeyString();

    private bool HasElsewhere => membership.CurrentSnapshot.Members.Values.Any(member => member.Status == SiloStatus.Active && !member.SiloAddress.Equals(silo.SiloAddress));

    private bool IsKept => stored.State.Head is not null && stored.State.ExpiresAt > time.GetUtcNow();

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
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
            if (!IsKept) EndAfter(EmptyLifetime);
            return StreamAppend.Unknown;
        }

        if (!IsKept && batch.Gateway == silo.Name && HasElsewhere)
        {
            DeactivateOnIdle();
            return StreamAppend.Misplaced;
        }

        if (begins) state.Begin(batch.Head!, batch.Takeover);
        if (!state.Continues(batch.Choices)) return StreamAppend.Unknown;
        if (state.Bytes + batch.Choices.Sum(part => part.Bytes) > _options.MaxBytes) return StreamAppend.Full;
        foreach (var part in batch.Choices) state.Append(part);
        await WriteAsync(cancellationToken);
        return StreamAppend.Kept;
    }

    public async Task<StreamJournal?> TakeOverAsync(byte[] owner, string gateway, CancellationToken cancellationToken = default)
    {
        if (!IsKept)
        {
            await ForgetAsync(cancellationToken);
            return null;
        }

        if (!CryptographicOperations.FixedTimeEquals(owner, stored.State.Head!.Owner)) return null;
        stored.State.Takeover++;
        var journal = stored.State.ToJournal(isWithGateway: gateway == silo.Name && HasElsewhere);
        stored.State.HasOther |= journal.IsWithGateway;
        await WriteAsync(cancellationToken);
        return journal;
    }

    public async Task ForgetAsync(CancellationToken cancellationToken = default)
    {
        DeactivateOnIdle();
        memory.Remove(Id);
        if (stored.RecordExists) await stored.ClearStateAsync(cancellationToken);
        stored.State = new StreamState();
    }

    private async Task WriteAsync(CancellationToken cancellationToken)
    {
        stored.State.ExpiresAt = time.GetUtcNow() + _options.Retention;
        Hold();
        if (_options.IsStored) await stored.WriteStateAsync(cancellationToken);
    }

    /// <summary>Counts what is kept, and sees to its end.</summary>
    private void Hold()
    {
        var remaining = stored.State.ExpiresAt - time.GetUtcNow();
        EndAfter(remaining);
        DelayDeactivation(remaining + Slack); // Not before the timer.
        // Nobody waits for them: two journals that drop each other would wait forever.
        foreach (var other in memory.Add(Id, stored.State.Bytes)) _ = DropAsync(other);
    }

    private void EndAfter(TimeSpan remaining)
    {
        if (_end is null)
            _end = this.RegisterGrainTimer(static (grain, token) => grain.ForgetAsync(token), this, new GrainTimerCreationOptions { DueTime = remaining, Period = Timeout.InfiniteTimeSpan });
        else
            _end.Change(remaining, Timeout.InfiniteTimeSpan);
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

    [LoggerMessage(Level = LogLevel.Warning, Message = "Stream {Id} could not be dropped to make room; it stays until it expires.")]
    private partial void LogNotDropped(string id, Exception exception);
}
