using Granary.Engine;
using Granary.Engine.Execution;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains.Placement;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Placement;

namespace Granary.Grains.Replicas;

/// <summary>Admits requests to one replica's engine and carries its tokens back to the caller.</summary>
/// <remarks>
/// The engine belongs to the silo's <see cref="EngineHost"/>, what its readers have not taken to <see cref="ReplicaReaders"/>; this is their address.
/// Every call interleaves with every other: nothing here keeps state across an await.
/// </remarks>
[KeepAlive, Immovable, HomePlacement]
internal sealed partial class ReplicaGrain(EngineHost engines, ReplicaReaders readers, NewsFeeds feeds, ILogger<ReplicaGrain> logger) : Grain, IReplicaGrain
{
    private static readonly TimeSpan RetryAfterFull = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryAfterAbsence = TimeSpan.FromSeconds(2);

    private string ReplicaId => this.GetPrimaryKeyString();

    public Task OpenReaderAsync(Guid reader, long epoch)
    {
        var replica = RequireLife(epoch);
        if (!readers.TryOpen(reader, replica))
            throw new ReplicaSaturatedException($"Replica '{ReplicaId}' takes no more readers; this silo has {ReplicaReaders.MaxReaders}.", RetryAfterFull);
        Require(reader, replica);
        return Task.CompletedTask;
    }

    public async Task SubmitAsync(GenerateRequest request, long epoch, Guid reader, long slot)
    {
        var replica = RequireLife(epoch);
        var known = Require(reader, replica);
        var stay = Enter(replica);
        ISequenceHandle? sequence = null;
        try
        {
            sequence = Submit(replica, ReplicaMapping.ToEngine(request, replica.EosTokenIds));
            known.Add(slot, sequence, stay);
        }
        catch
        {
            if (sequence is not null) await replica.FreeAsync(sequence);
            stay.Dispose();
            throw;
        }
    }

    public Task<StepTokens> TakeAsync(Guid reader, TokenCredit[] credits)
    {
        var known = Require(reader);
        known.Grant(credits);
        return known.TakeAsync();
    }

    public Task GrantAsync(Guid reader, TokenCredit credit)
    {
        Find(reader)?.Grant([credit]);
        return Task.CompletedTask;
    }

    public Task CancelAsync(Guid reader, long slot) => Find(reader)?.CancelAsync(slot).AsTask() ?? Task.CompletedTask;

    public async Task<EmbedResult> EmbedAsync(EmbedRequest request, long epoch, CancellationToken cancellationToken = default)
    {
        var replica = RequireLife(epoch);
        using var stay = Enter(replica);
        var sequence = Submit(replica, ReplicaMapping.ToEngine(request));
        GeneratedToken read;
        try
        {
            read = await ReadPromptAsync(replica, sequence, cancellationToken);
        }
        catch (StepFailedException exception)
        {
            throw new ReplicaFailedException($"Replica '{ReplicaId}' failed while the text was embedded: {exception.Message}", sequence.WasInFailedStep);
        }
        finally
        {
            await replica.FreeAsync(sequence);
        }

        if (read.Prompt?.Embedding is { } vector) return new EmbedResult(vector, read.CachedPromptTokens);
        if (read.End == SequenceEnd.Deadline) throw new TimeoutException($"The deadline of request '{request.RequestId}' passed on replica '{ReplicaId}'.");
        throw new ReplicaFailedException($"Replica '{ReplicaId}' gave no vector for request '{request.RequestId}'.");
    }

    public async Task<int> PinAsync(KvPin pin, long epoch)
    {
        var replica = RequireLife(epoch);
        try
        {
            return await replica.Engine.PinAsync(pin.Owner, pin.TokenIds, pin.CacheSalt, pin.Lease);
        }
        catch (ArgumentOutOfRangeException exception)
        {
            throw new RequestRefusedException(exception.Message, "lease");
        }
    }

    public Task UnpinAsync(string owner, long epoch)
    {
        RequireLife(epoch).Engine.Unpin(owner);
        return Task.CompletedTask;
    }

    public Task<ReplicaLoad> GetLoadAsync(CancellationToken cancellationToken = default)
    {
        var replica = engines.Find(ReplicaId);
        if (replica is null)
        {
            DeactivateOnIdle(); // Nobody may ever ask for it again.
            throw new ModelNotReadyException($"Replica '{ReplicaId}' has no engine on this silo.", RetryAfterAbsence);
        }

        return Task.FromResult(ReplicaMapping.ToLoad(replica));
    }

    public async Task<ReplicaNews> WatchAsync(long epoch, long nextEvent, CancellationToken cancellationToken = default)
    {
        var feed = feeds.Of(RequireLife(epoch));
        if (!await feed.WaitAsync(nextEvent, cancellationToken))
            throw new ReplicaSaturatedException($"Replica '{ReplicaId}' is watched by {NewsFeed.MaxWatchers} already, the most that may.", RetryAfterFull);
        RequireLife(epoch); // It may have ended meanwhile.
        return feed.Read(nextEvent);
    }

    /// <summary>A prompt that is only read gives one thing, its end.</summary>
    private static async Task<GeneratedToken> ReadPromptAsync(HostedReplica replica, ISequenceHandle sequence, CancellationToken cancellationToken)
    {
        var reading = sequence.WaitToReadAsync(cancellationToken).AsTask();
        await Task.WhenAny(reading, replica.Ended);
        if (replica.Abandoned is { } failure) throw failure;
        await reading;
        sequence.TryRead(out var read);
        return read;
    }

    private HostedReplica RequireLife(long epoch)
    {
        var replica = engines.Find(ReplicaId);
        if (replica is null) DeactivateOnIdle();
        if (replica?.Epoch == epoch) return replica;
        LogOtherEpoch(ReplicaId, epoch, replica?.Epoch ?? 0);
        throw new EpochMismatchException(
            replica is null
                ? $"Replica '{ReplicaId}' has no engine here; epoch {epoch} was asked for."
                : $"Replica '{ReplicaId}' is in epoch {replica.Epoch}; epoch {epoch} was asked for.",
            epoch, replica?.Epoch ?? 0);
    }

    /// <summary>What another replica's caller names is as unknown as a reader that was forgotten.</summary>
    private ReplicaReader? Find(Guid reader) => readers.Find(reader) is { } known && known.Replica.ReplicaId == ReplicaId ? known : null;

    /// <summary>The reader, of this very life: what it submits to one must never come as another's.</summary>
    private ReplicaReader Require(Guid reader, HostedReplica life)
    {
        var known = Require(reader);
        return ReferenceEquals(known.Replica, life)
            ? known
            : throw new UnknownReaderException($"Reader {reader} reads from epoch {known.Replica.Epoch} of replica '{ReplicaId}'; epoch {life.Epoch} needs a reader of its own.");
    }

    private ReplicaReader Require(Guid reader) => Find(reader)
        ?? throw new UnknownReaderException($"Replica '{ReplicaId}' does not know reader {reader}: it was not opened, or took nothing for {ReaderLease.Silence}.");

    private HostedReplica.Stay Enter(HostedReplica replica) =>
        replica.TryEnter() ?? throw new ReplicaSaturatedException($"Replica '{ReplicaId}' is being ended and takes nothing new.", RetryAfterFull);

    private ISequenceHandle Submit(HostedReplica replica, EngineRequest request)
    {
        var sequence = replica.Engine.TrySubmit(request, out var refusal);
        if (sequence is not null) return sequence;
        LogRefused(ReplicaId, request.RequestId, refusal!.Reason, refusal.Parameter);
        throw refusal.Reason switch
        {
            RefusalReason.Saturated => new ReplicaSaturatedException($"Replica '{ReplicaId}': {refusal.Message}", RetryAfterFull),
            RefusalReason.Invalid => new RequestRefusedException(refusal.Message, refusal.Parameter ?? "prompt"),
            // Its life has ended and the host has not seen it yet: as good as another epoch.
            RefusalReason.Stopped => new EpochMismatchException($"Replica '{ReplicaId}', epoch {replica.Epoch}, has ended: {refusal.Message}", replica.Epoch, 0),
            _ => new InvalidOperationException($"Unknown refusal {refusal.Reason}: {refusal.Message}"),
        };
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Replica {ReplicaId} refused request {RequestId}: {Reason}, {Parameter}.")]
    private partial void LogRefused(string replicaId, string requestId, RefusalReason reason, string? parameter);

    [LoggerMessage(Level = LogLevel.Information, Message = "Replica {ReplicaId} was asked for in epoch {Asked} and is in {Actual} (0: not here).")]
    private partial void LogOtherEpoch(string replicaId, long asked, long actual);
}
