using System.Threading.Channels;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>A replica that answers takes with what a test says, and notes what it is asked.</summary>
internal sealed class ScriptedReplica : IReplicaGrain
{
    private readonly Channel<Func<StepTokens>> _answers = Channel.CreateUnbounded<Func<StepTokens>>();
    private readonly Channel<TokenCredit> _granted = Channel.CreateUnbounded<TokenCredit>();
    private readonly Channel<TokenCredit[]> _takes = Channel.CreateUnbounded<TokenCredit[]>();

    public List<(Guid Reader, long Slot)> Submitted { get; } = [];

    public List<(Guid Reader, long Slot)> Cancelled { get; } = [];

    /// <summary>Thrown by the next submissions, in order.</summary>
    public Queue<Exception> Refusals { get; } = new();

    /// <summary>Answers the next take.</summary>
    public void Say(params (long Slot, int Index, FinishReason? End)[] entries) => _answers.Writer.TryWrite(() => new StepTokens
    {
        Epoch = 7,
        Slots = [.. entries.Select(entry => entry.Slot)],
        Indexes = [.. entries.Select(entry => entry.Index)],
        TokenIds = [.. entries.Select(entry => 100 + entry.Index)],
        Details = [.. entries.Select((entry, i) => new TokenDetail { Entry = i, FinishReason = entry.End }).Where(detail => detail.FinishReason is not null)],
    });

    public void Say(StepTokens message) => _answers.Writer.TryWrite(() => message);

    /// <summary>Fails the next take.</summary>
    public void Break(Exception error) => _answers.Writer.TryWrite(() => throw error);

    /// <summary>The credits of the next take that was not asked for yet, once it comes.</summary>
    public async Task<TokenCredit[]> NextTakeAsync() => await _takes.Reader.ReadAsync();

    public async Task<TokenCredit> NextGrantAsync() => await _granted.Reader.ReadAsync();

    public Task OpenReaderAsync(Guid reader, long epoch) => Task.CompletedTask;

    public Task SubmitAsync(GenerateRequest request, long epoch, Guid reader, long slot)
    {
        if (Refusals.TryDequeue(out var refusal)) return Task.FromException(refusal);
        Submitted.Add((reader, slot));
        return Task.CompletedTask;
    }

    public async Task<StepTokens> TakeAsync(Guid reader, TokenCredit[] credits)
    {
        _takes.Writer.TryWrite(credits);
        return (await _answers.Reader.ReadAsync())();
    }

    public Task GrantAsync(Guid reader, TokenCredit credit)
    {
        _granted.Writer.TryWrite(credit);
        return Task.CompletedTask;
    }

    public Task CancelAsync(Guid reader, long slot)
    {
        Cancelled.Add((reader, slot));
        return Task.CompletedTask;
    }

    public Task<EmbedResult> EmbedAsync(EmbedRequest request, long epoch, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<int> PinAsync(KvPin pin, long epoch) => throw new NotSupportedException();

    public Task UnpinAsync(string owner, long epoch) => throw new NotSupportedException();

    public Task<ReplicaLoad> GetLoadAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<ReplicaNews> WatchAsync(long epoch, long nextEvent, CancellationToken cancellationToken = default) => throw new NotSupportedException();
}
