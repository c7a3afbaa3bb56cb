using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Tests.Cluster.Grains;
using Granary.Tests.Support;
using Orleans;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>What a reading process makes of a replica's messages.</summary>
public sealed class ReplicaConnectionTests
{
    private static readonly ReplicaLife Life = new("m/0", 7);

    private readonly ScriptedReplica _replica = new();
    private readonly ManualTime _time = new();
    private readonly ReplicaConnections _connections;

    public ReplicaConnectionTests()
    {
        var grains = DispatchProxy.Create<IGrainFactory, Factory>();
        ((Factory)(object)grains).Replica = _replica;
        _connections = new ReplicaConnections(grains, _time);
    }

    [Fact]
    public async Task Message_OfManySequences_GoesToEachItsOwn()
    {
        await using var one = await SubmitAsync();
        await using var other = await SubmitAsync();

        _replica.Say((2, 0, null), (1, 0, null), (1, 1, FinishReason.Stop), (3, 0, null), (2, 1, FinishReason.Length));

        Assert.Equal([(0, null), (1, FinishReason.Stop)], await ReadAsync(one));
        Assert.Equal([(0, null), (1, FinishReason.Length)], await ReadAsync(other));
        Assert.Single(_replica.Submitted.Select(submitted => submitted.Reader).Distinct());
    }

    [Fact]
    public async Task Details_BelongToTheirEntries()
    {
        await using var stream = await SubmitAsync();
        var logprobs = new TokenLogprobs(-1, [5], [-1]);
        _replica.Say(new StepTokens
        {
            Epoch = 7,
            Slots = [9, 1, 1, 1],
            Indexes = [0, 0, 1, 2],
            TokenIds = [1, 2, 3, -1],
            Details = [new() { Entry = 0, CachedPromptTokens = 99 }, new() { Entry = 1, CachedPromptTokens = 16, Logprobs = logprobs }, new() { Entry = 3, FinishReason = FinishReason.Length }],
        });

        var chunks = new List<TokenChunk>();
        while (await stream.NextAsync() == StreamNews.Token) chunks.Add(stream.Current);

        Assert.Equal([16, 16, 16], chunks.Select(chunk => chunk.CachedPromptTokens));
        Assert.Equal([logprobs, null, null], chunks.Select(chunk => chunk.Logprobs));
        Assert.Equal([null, null, FinishReason.Length], chunks.Select(chunk => chunk.FinishReason));
    }

    [Fact]
    public async Task TakeFails_EveryStreamHearsItOnceAfterItsTokens()
    {
        await using var begun = await SubmitAsync();
        await using var waiting = await SubmitAsync();
        _replica.Say((1, 0, null));
        _replica.Break(new SiloUnavailableException("gone"));

        Assert.Equal([(0, null)], await ReadAsync(begun));
        Assert.Empty(await ReadAsync(waiting));
        Assert.Equal((LossReason.Crash, true, false), (begun.Loss!.Reason, begun.Loss.IsSudden, begun.Loss.WasInFailedStep));
        Assert.Contains("gone", begun.Loss.What);
        Assert.Same(begun.Loss, waiting.Loss);
        Assert.Empty(_replica.Cancelled);
    }

    [Fact]
    public async Task OneSequenceFails_TheOtherGoesOn()
    {
        await using var failed = await SubmitAsync();
        await using var other = await SubmitAsync();
        _replica.Say(new StepTokens { Epoch = 7, Slots = [1], Indexes = [0], TokenIds = [-1], Details = [new() { Entry = 0, Failure = "device lost", WasInFailedStep = true }] });
        _replica.Say((2, 0, FinishReason.Stop));

        Assert.Empty(await ReadAsync(failed));
        Assert.Equal((LossReason.Crash, false, true), (failed.Loss!.Reason, failed.Loss.IsSudden, failed.Loss.WasInFailedStep));
        Assert.Contains("device lost", failed.Loss.What);
        Assert.Equal([(0, FinishReason.Stop)], await ReadAsync(other));
    }

    [Fact]
    public async Task Leaving_RunningSequence_IsCancelledAndTheEndedIsNot()
    {
        var running = await SubmitAsync();
        await using (var ended = await SubmitAsync())
        {
            _replica.Say((1, 0, null), (2, 0, FinishReason.Stop));
            await ReadAsync(ended);
        }

        await running.DisposeAsync();

        Assert.Equal([1], _replica.Cancelled.Select(cancelled => cancelled.Slot));
    }

    [Fact]
    public async Task Cancelled_WaitingReader_StopsAtOnce()
    {
        using var caller = new CancellationTokenSource();
        await using var stream = await _connections.SubmitAsync(Life, GrainsFixture.Request("m", [1]), caller.Token);
        var next = stream.NextAsync().AsTask();

        await caller.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next.WaitAsync(GrainsFixture.Patience));
    }

    [Fact]
    public async Task Refused_NothingIsLeft()
    {
        _replica.Refusals.Enqueue(new ReplicaSaturatedException("full", TimeSpan.FromSeconds(1)));

        await Assert.ThrowsAsync<ReplicaSaturatedException>(SubmitAsync);

        Assert.Empty(_replica.Cancelled);
    }

    [Fact]
    public async Task Submit_ReaderWasForgotten_ComesAsAnother()
    {
        await using var before = await SubmitAsync();
        _replica.Refusals.Enqueue(new UnknownReaderException("forgotten"));

        await using var after = await SubmitAsync();

        Assert.Equal(2, _replica.Submitted.Select(submitted => submitted.Reader).Distinct().Count());
    }

    [Fact]
    public async Task Reader_KeepsUp_CreditComesWithTheTakes()
    {
        await using var stream = await SubmitAsync();
        Assert.Empty(await _replica.NextTakeAsync());
        _replica.Say([.. Enumerable.Range(0, 200).Select(i => (1L, i, default(FinishReason?)))]);
        Assert.Empty(await _replica.NextTakeAsync());
        for (var i = 0; i < 200; i++) Assert.Equal(StreamNews.Token, await stream.NextAsync());

        _replica.Say((1, 200, null));

        Assert.Equal([new TokenCredit(1, (TokenCredit.Window / 2) + TokenCredit.Window)], await _replica.NextTakeAsync());
    }

    [Fact]
    public async Task Reader_WasStopped_CreditComesAtOnce()
    {
        await using var stream = await SubmitAsync();
        _replica.Say([.. Enumerable.Range(0, TokenCredit.Window).Select(i => (1L, i, default(FinishReason?)))]);
        for (var i = 0; i < TokenCredit.Window / 2; i++) Assert.Equal(StreamNews.Token, await stream.NextAsync());

        // No take will end: nothing of the sequence is left to send.
        Assert.Equal(new TokenCredit(1, (TokenCredit.Window / 2) + TokenCredit.Window), await _replica.NextGrantAsync().WaitAsync(GrainsFixture.Patience));
    }

    [Fact]
    public async Task Replica_SendsMoreThanItMay_FailsTheSequence()
    {
        await using var stream = await SubmitAsync();
        await using var other = await SubmitAsync();
        _replica.Say([.. Enumerable.Range(0, TokenCredit.Window + 1).Select(i => (1L, i, default(FinishReason?)))]);
        _replica.Say((2, 0, FinishReason.Stop));
        Assert.Equal([(0, FinishReason.Stop)], await ReadAsync(other)); // By now the first has all it gets.

        for (var i = 0; i < TokenCredit.Window; i++) Assert.Equal(StreamNews.Token, await stream.NextAsync());
        Assert.Empty(await ReadAsync(stream));
        Assert.Contains("more than", stream.Loss!.What);
    }

    [Fact]
    public async Task Idle_LongEnough_IsClosedAndOpenedAnew()
    {
        await using (var stream = await SubmitAsync())
        {
            _replica.Say((1, 0, FinishReason.Stop));
            await ReadAsync(stream);
        }

        Assert.Empty(await _replica.NextTakeAsync());
        Assert.Empty(await _replica.NextTakeAsync());
        _time.Advance(ReplicaConnection.IdleLimit - TimeSpan.FromTicks(1));
        _replica.Say();
        Assert.Empty(await _replica.NextTakeAsync()); // Not yet.
        _time.Advance(TimeSpan.FromTicks(1));
        _replica.Say();
        await WhenNoneIsOpenAsync();

        await using var next = await SubmitAsync();
        _replica.Say((1, 0, FinishReason.Length));

        Assert.Equal([(0, FinishReason.Length)], await ReadAsync(next));
        Assert.Equal(2, _replica.Submitted.Select(submitted => submitted.Reader).Distinct().Count());
    }

    [Fact]
    public async Task LifeEnds_StreamIsLostAndSaysSo()
    {
        await using var stream = await SubmitAsync();
        _replica.Say(new StepTokens { Epoch = 7, IsLast = true });

        Assert.Empty(await ReadAsync(stream));
        Assert.Equal((LossReason.Crash, false), (stream.Loss!.Reason, stream.Loss.IsSudden));
    }

    private Task<TokenStream> SubmitAsync() => _connections.SubmitAsync(Life, GrainsFixture.Request("m", [1]), CancellationToken.None);

    /// <summary>Each look is a turn for the connection that is about to close.</summary>
    private async Task WhenNoneIsOpenAsync()
    {
        using var patience = new CancellationTokenSource(GrainsFixture.Patience);
        while (_connections.Count > 0)
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private static async Task<List<(int Index, FinishReason? End)>> ReadAsync(TokenStream stream)
    {
        var read = new List<(int, FinishReason?)>();
        while (await stream.NextAsync().AsTask().WaitAsync(GrainsFixture.Patience) == StreamNews.Token) read.Add((stream.Current.Index, stream.Current.FinishReason));
        return read;
    }

    /// <summary>Stands for <see cref="IGrainFactory"/>, of which only one overload is called.</summary>
    [SuppressMessage("Performance", "CA1852", Justification = "The proxy derives from it at run time.")]
    private class Factory : DispatchProxy
    {
        public IReplicaGrain Replica { get; set; } = null!; // Set right after it is made: a proxy has no constructor of its own.

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => Replica;
    }
}
