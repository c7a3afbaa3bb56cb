using System.Threading.Channels;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Replicas;
using Granary.Tests.Cluster.Grains;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>A replica that answers takes with what a test says, and notes what it is asked.</summary>
internal sealed class ScriptedReplica : IReplicaGrain
{
    private readonly Channel<Func<StepTokens>> _answers = Channel.CreateUnbounded<Func<StepTokens>>();
    private readonly Channel<TokenCredit> _granted = Channel.CreateUnbounded<TokenCredit>();
    private readonly Channel<TokenCredit[]> _takes = Channel.CreateUnbounded<TokenCredit[]>();
    private readonly Channel<(GenerateRequest Request, long Slot)> _submissions = Channel.CreateUnbounded<(GenerateRequest, long)>();
    private readonly Channel<long> _cancellations = Channel.CreateUnbounded<long>();
    private int _said;
    private int _seen; // Takes that were waited for.

    public List<(Guid Reader, long Slot)> Submitted { get; } = [];

    public List<(Guid Reader, long Slot)> Cancelled { get; } = [];

    /// <summary>Thrown by the next submissions, in order.</summary>
    public Queue<Exception> Refusals { get; } = new();

    /// <summary>Submissions are answered when this is.</summary>
    public Task Answering { get; set; } = Task.CompletedTask;

    /// <summary>Embeds, where a test has it.</summary>
    public Func<CancellationToken, Task<EmbedResult>> Embed { get; set; } = _ => throw new NotSupportedException();

    public Func<ReplicaLoad> Load { get; set; } = () => throw new NotSupportedException();

    /// <summary>The next request that was admitted or is being held.</summary>
    public async Task<(GenerateRequest Request, long Slot)> NextSubmissionAsync() => await _submissions.Reader.ReadAsync().AsTask().WaitAsync(GrainsFixture.Patience);

    public async Task<long> NextCancellationAsync() => await _cancellations.Reader.ReadAsync().AsTask().WaitAsync(GrainsFixture.Patience);

    /// <summary>Answers the next take without tokens, and waits until its reader has taken note.</summary>
    public async Task BeatAsync(long steps, double stepSeconds = 0.1, bool isDraining = false)
    {
        Say(new StepTokens { Epoch = 7, Steps = steps, StepSeconds = stepSeconds, IsDraining = isDraining });
        for (; _seen <= Volatile.Read(ref _said); _seen++) await _takes.Reader.ReadAsync().AsTask().WaitAsync(GrainsFixture.Patience);
    }

    /// <summary>Answers the next take.</summary>
    public void Say(params (long Slot, int Index, FinishReason? End)[] entries) => Say(new StepTokens
    {
        Epoch = 7,
        Slots = [.. entries.Select(entry => entry.Slot)],
        Indexes = [.. entries.Select(entry => entry.Index)],
        TokenIds = [.. entries.Select(entry => 100 + entry.Index)],
        Details = [.. entries.Select((entry, i) => new TokenDetail { Entry = i, FinishReason = entry.End }).Where(detail => detail.FinishReason is not null)],
    });

    public void Say(StepTokens message)
    {
        Interlocked.Increment(ref _said);
        _answers.Writer.TryWrite(() => message);
    }

    /// <summary>Gives one sequence up.</summary>
    public void Fail(long slot, bool wasInFailedStep) => Say(new StepTokens
    {
        Epoch = 7,
        Slots = [slot],
        Indexes = [0],
        TokenIds = [-1],
        Details = [new() { Entry = 0, Failure = "device lost", WasInFailedStep = wasInFailedStep }],
    });

    /// <summary>Fails the next take.</summary>
    public void Break(Exception error) => _answers.Writer.TryWrite(() => throw error);

    /// <summary>The credits of the next take that was not asked for yet, once it comes.</summary>
    public async Task<TokenCredit[]> NextTakeAsync() => await _takes.Reader.ReadAsync();

    public async Task<TokenCredit> NextGrantAsync() => await _granted.Reader.ReadAsync();

    public Task OpenReaderAsync(Guid reader, long epoch) => Task.CompletedTask;

    public async Task SubmitAsync(GenerateRequest request, long epoch, Guid reader, long slot)
    {
        if (Refusals.TryDequeue(out var refusal)) throw refusal;
        Submitted.Add((reader, slot));
        _submissions.Writer.TryWrite((request, slot));
        await Answering;
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
        _cancellations.Writer.TryWrite(slot);
        return Task.CompletedTask;
    }

    public Task<EmbedResult> EmbedAsync(EmbedRequest request, long epoch, CancellationToken cancellationToken = default) => Embed(cancellationToken);

    public Task<int> PinAsync(KvPin pin, long epoch) => throw new NotSupportedException();

    public Task UnpinAsync(string owner, long epoch) => throw new NotSupportedException();

    public Task<ReplicaLoad> GetLoadAsync(CancellationToken cancellationToken = default) => Task.FromResult(Load());

    public Task<ReplicaNews> WatchAsync(long epoch, long nextEvent, CancellationToken cancellationToken = default) => throw new NotSupportedException();
}
