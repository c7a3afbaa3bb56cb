using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Sampling;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Grains.Replicas;
using Granary.Tests.Cluster.Grains;
using Granary.Tests.Support;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>What a replica keeps for one reader: one message for all its sequences, credit for each, a lease for all.</summary>
public sealed class ReplicaReaderTests : IAsyncLifetime
{
    private readonly ManualTime _time = new();
    private readonly List<int> _forgotten = [];
    private InferenceEngine _engine = null!; // Set before each test; its sequences are scripted, it only stands for the life.
    private HostedReplica _replica = null!;
    private ReplicaReader _reader = null!;

    public Task InitializeAsync()
    {
        _engine = InferenceEngine.Start(new EngineOptions(), new SimulatedExecutor(new SimulatedDevice()));
        _replica = new HostedReplica(new ReplicaSpec("m/0", "m", 1, 0), 7, new LoadedReplica(_engine, FrozenSet<int>.Empty));
        _reader = new ReplicaReader(_replica, _time);
        _reader.Start(_forgotten.Add);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _engine.DisposeAsync();

    [Fact]
    public async Task TakeAsync_StepOfManySequences_ComesInOneMessage()
    {
        var sequences = Enumerable.Range(0, 100).Select(slot => Add(slot)).ToArray();
        foreach (var sequence in sequences) sequence.Write();

        var message = await _reader.TakeAsync();

        Assert.Equal(7, message.Epoch);
        Assert.Equal(Enumerable.Range(0, 100).Select(slot => (long)slot), message.Slots);
        Assert.All(message.Indexes, index => Assert.Equal(0, index));
        Assert.All(message.TokenIds, id => Assert.Equal(100, id));
    }

    [Fact]
    public async Task TakeAsync_Waiting_IsAnsweredWithTheFirstToken()
    {
        var sequence = Add(1);
        var take = _reader.TakeAsync();
        Assert.False(take.IsCompleted);

        sequence.Write();

        var message = await take.WaitAsync(GrainsFixture.Patience);
        Assert.Equal([1], message.Slots);
    }

    [Fact]
    public async Task TakeAsync_ReaderOfOneIsBehind_OnlyThatOneStops()
    {
        var (slow, quick) = (Add(1).Write(TokenCredit.Window + 10), Add(2).Write(3));

        var message = await _reader.TakeAsync();

        Assert.Equal(TokenCredit.Window, message.Slots.Count(slot => slot == 1));
        Assert.Equal(10, slow.Untaken); // They fill the engine's buffer, and the engine pauses the sequence.
        Assert.Equal(3, message.Slots.Count(slot => slot == 2));
        var next = _reader.TakeAsync();
        slow.Write();
        Assert.False(next.IsCompleted);
        quick.Write();
        message = await next.WaitAsync(GrainsFixture.Patience);
        Assert.Equal([2], message.Slots);

        _reader.Grant([new(1, TokenCredit.Window + 4), new(1, 2), new(99, 5)]); // An old limit and an unknown sequence say nothing.

        message = await _reader.TakeAsync();
        Assert.Equal([256, 257, 258, 259], message.Indexes);
    }

    [Fact]
    public async Task TakeAsync_MoreThanAMessageHolds_ComesWithTheNext()
    {
        var count = (StepTokens.MaxEntries / TokenCredit.Window) + 1;
        for (var slot = 0; slot < count; slot++) Add(slot).Write(TokenCredit.Window);

        var (first, second) = (await _reader.TakeAsync(), await _reader.TakeAsync());

        Assert.Equal(StepTokens.MaxEntries, first.Slots.Length);
        Assert.Equal(TokenCredit.Window, second.Slots.Length);
        Assert.Equal(count, first.Slots.Concat(second.Slots).Distinct().Count());
    }

    [Fact]
    public async Task TakeAsync_End_ComesOnceAndLeavesTheLife()
    {
        Add(1).Write(2, SequenceEnd.Stop);
        Assert.Equal(1, _replica.Users);

        var message = await _reader.TakeAsync();

        Assert.Equal([(0, null), (1, FinishReason.Stop)], message.Details.Select(detail => (detail.Entry, detail.FinishReason)));
        Assert.Equal(0, _replica.Users);
    }

    [Fact]
    public async Task TakeAsync_EngineFails_TellsEachSequenceOnceAfterItsTokens()
    {
        var sequences = Enumerable.Range(0, 3).Select(slot => Add(slot, wasInFailedStep: slot == 1).Write(2)).ToArray();
        foreach (var sequence in sequences) sequence.Fail("device lost");

        var message = await _reader.TakeAsync();

        Assert.Equal([0, 0, 0, 1, 1, 1, 2, 2, 2], message.Slots);
        Assert.Equal([100, 101, -1], message.TokenIds[..3]);
        var failures = message.Details.Where(detail => detail.Failure == "device lost").ToList();
        Assert.Equal([2, 5, 8], failures.Select(detail => detail.Entry));
        Assert.Equal([false, true, false], failures.Select(detail => detail.WasInFailedStep));
        Assert.Equal(0, _replica.Users);
    }

    [Fact]
    public async Task TakeAsync_NothingThere_IsAnsweredAtTheHeartbeat()
    {
        var take = _reader.TakeAsync();
        _time.Advance(ReaderLease.Heartbeat);

        var message = await take.WaitAsync(GrainsFixture.Patience);

        Assert.Empty(message.Slots);
        Assert.False(message.IsLast);
    }

    [Fact]
    public async Task TakeAsync_SequenceHasNothing_IsAnsweredAtTheBusyHeartbeatWithTheStepsSoFar()
    {
        Add(1);
        var take = _reader.TakeAsync();
        _time.Advance(ReaderLease.BusyHeartbeat - TimeSpan.FromTicks(1));
        Assert.False(take.IsCompleted);
        _time.Advance(TimeSpan.FromTicks(1));
        Assert.Equal(0, (await take.WaitAsync(GrainsFixture.Patience)).Steps);

        await StepAsync();
        take = _reader.TakeAsync();
        _time.Advance(ReaderLease.BusyHeartbeat);

        var message = await take.WaitAsync(GrainsFixture.Patience);
        Assert.Empty(message.Slots);
        Assert.Equal(_engine.Load.Steps, message.Steps);
        Assert.NotEqual(0, message.Steps);
        Assert.Equal(_engine.Load.LongestStepSeconds, message.StepSeconds);
        Assert.NotEqual(0, message.StepSeconds);
    }

    [Fact]
    public async Task TakeAsync_SequenceComesWhileItWaits_IsAnsweredAtTheBusyHeartbeat()
    {
        var take = _reader.TakeAsync();
        _time.Advance(ReaderLease.Heartbeat / 2);
        Add(1);
        _time.Advance(ReaderLease.BusyHeartbeat);

        Assert.Empty((await take.WaitAsync(GrainsFixture.Patience)).Slots);
    }

    [Fact]
    public async Task DrainingBegins_WaitingTake_IsAnsweredAtOnceAndTheNextWaitsAgain()
    {
        var sequence = Add(1);
        var take = _reader.TakeAsync();
        _ = _replica.DrainAsync();

        var message = await take.WaitAsync(GrainsFixture.Patience);
        Assert.True(message.IsDraining);
        Assert.Empty(message.Slots);

        take = _reader.TakeAsync();
        Assert.False(take.IsCompleted);
        sequence.Write();
        message = await take.WaitAsync(GrainsFixture.Patience);
        Assert.Equal([1], message.Slots);
        Assert.Equal((true, false), (message.IsDraining, message.IsLast));
    }

    [Fact]
    public async Task LifeIsAbandoned_SequencesOfAHungEngine_FailAtOnceAfterTheirTokens()
    {
        var sequences = Enumerable.Range(0, 3).Select(slot => Add(slot).Write()).ToArray();
        await _reader.TakeAsync();
        var take = _reader.TakeAsync();
        sequences[1].Write();
        await take.WaitAsync(GrainsFixture.Patience);
        take = _reader.TakeAsync();
        var leaving = _reader.CancelAsync(2).AsTask(); // Of an engine that does nothing any more.
        Assert.False(leaving.IsCompleted);

        _replica.Abandon(new StepFailedException("The device hangs."));

        var message = await take.WaitAsync(GrainsFixture.Patience);
        await leaving.WaitAsync(GrainsFixture.Patience);
        Assert.Equal([(0, 1), (1, 2)], message.Slots.Zip(message.Indexes).Select(entry => ((int)entry.First, entry.Second)));
        Assert.All(message.Details, detail => Assert.Equal(("The device hangs.", false), (detail.Failure, detail.WasInFailedStep)));
        Assert.True(message.IsLast);
        Assert.Equal(0, _replica.Users);
    }

    [Fact]
    public async Task Silence_LongerThanTheLease_EndsItsSequences()
    {
        var sequences = Enumerable.Range(0, 3).Select(slot => Add(slot).Write()).ToArray();
        await _reader.TakeAsync();

        _time.Advance(ReaderLease.Silence - TimeSpan.FromTicks(1));
        Assert.All(sequences, sequence => Assert.False(sequence.IsDisposed));
        _time.Advance(TimeSpan.FromTicks(1));

        Assert.All(sequences, sequence => Assert.True(sequence.IsDisposed));
        Assert.Equal([3], _forgotten);
        await Assert.ThrowsAsync<UnknownReaderException>(_reader.TakeAsync);
        Assert.Throws<UnknownReaderException>(() => Add(4));
        Assert.Equal(0, _time.ActiveTimers);
    }

    [Fact]
    public async Task Silence_TakesWithinTheLease_KeepTheReader()
    {
        var sequence = Add(1);
        for (var i = 0; i < 5; i++)
        {
            _time.Advance(ReaderLease.Silence - TimeSpan.FromSeconds(1));
            sequence.Write();
            var message = await _reader.TakeAsync();
            Assert.Equal([i], message.Indexes);
        }

        Assert.Empty(_forgotten);
    }

    [Fact]
    public async Task CancelAsync_Running_ReturnsWhenItsBlocksAreFree()
    {
        var sequence = Add(1).Write(5);

        var cancelling = _reader.CancelAsync(1).AsTask();
        Assert.False(cancelling.IsCompleted);
        Assert.Equal(1, _replica.Users);
        sequence.Free();
        await cancelling.WaitAsync(GrainsFixture.Patience);

        Assert.Equal(0, _replica.Users);
        Add(2).Write();
        var message = await _reader.TakeAsync();
        Assert.Equal([2], message.Slots); // Nothing of what was left.
        await _reader.CancelAsync(1);
    }

    [Fact]
    public async Task LifeEnds_WaitingTake_IsTheLast()
    {
        var take = _reader.TakeAsync();
        _replica.End(null);

        Assert.True((await take.WaitAsync(GrainsFixture.Patience)).IsLast);
        Assert.Equal([0], _forgotten);
    }

    [Fact]
    public async Task LifeEnds_UntakenTokens_ComeBeforeTheLast()
    {
        var sequence = Add(1).Write(TokenCredit.Window + 1, SequenceEnd.Length);
        _replica.End(null);

        var first = await _reader.TakeAsync();
        _reader.Grant([new(1, TokenCredit.Window + 1)]);
        var second = await _reader.TakeAsync();

        Assert.Equal((TokenCredit.Window, false), (first.Slots.Length, first.IsLast));
        Assert.Equal((1, true), (second.Slots.Length, second.IsLast));
        Assert.Equal(0, sequence.Untaken);
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 20)];

    /// <summary>Whatever the order of steps, takes, credits and cancellations, every sequence's tokens come once, in order, within its credit, and whole.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public async Task AnyInterleaving_TokensAreWholeAndInOrder(int seed)
    {
        var random = new Random(seed);
        var lengths = Enumerable.Range(0, 24).Select(_ => random.Next(1, 1200)).ToArray();
        var sequences = lengths.Select((_, slot) => Add(slot)).ToArray();
        foreach (var sequence in sequences) sequence.Free();
        var gone = new HashSet<int>();
        var received = new int[lengths.Length];
        var limits = Enumerable.Repeat(TokenCredit.Window, lengths.Length).ToArray();
        var engine = Task.Run(() => WriteAll(new Random(~seed)));

        while (Enumerable.Range(0, lengths.Length).Any(slot => !gone.Contains(slot) && received[slot] < lengths[slot]))
        {
            var message = await _reader.TakeAsync().WaitAsync(GrainsFixture.Patience);
            foreach (var (slot, index) in message.Slots.Zip(message.Indexes))
            {
                Assert.False(gone.Contains((int)slot), $"seed {seed}: {slot} was left.");
                Assert.True(index == received[slot], $"seed {seed}: {slot} has {received[slot]} tokens; {index} came.");
                Assert.True(++received[slot] <= limits[slot], $"seed {seed}: {slot} went beyond its credit of {limits[slot]}.");
            }

            var slow = random.Next(lengths.Length);
            if (random.Next(40) == 0 && received[slow] < lengths[slow] && gone.Add(slow)) await _reader.CancelAsync(slow);
            // One reader at a time is slow, while another goes on.
            var others = Enumerable.Range(0, lengths.Length).Any(slot => slot != slow && !gone.Contains(slot) && received[slot] < lengths[slot]);
            _reader.Grant([.. Enumerable.Range(0, lengths.Length).Where(slot => slot != slow || !others)
                .Select(slot => new TokenCredit(slot, limits[slot] = Math.Max(limits[slot], received[slot] + TokenCredit.Window)))]);
        }

        await engine.WaitAsync(GrainsFixture.Patience);
        Assert.Equal(0, _replica.Users);

        void WriteAll(Random steps)
        {
            var written = new int[lengths.Length];
            while (Enumerable.Range(0, lengths.Length).Where(slot => written[slot] < lengths[slot]).ToArray() is { Length: > 0 } running)
            {
                foreach (var slot in running.Where(_ => steps.Next(4) > 0))
                    sequences[slot].Write(1, ++written[slot] == lengths[slot] ? SequenceEnd.Length : null);
            }
        }
    }

    /// <summary>Has the engine make one token.</summary>
    private async Task StepAsync()
    {
        await using var sequence = _engine.TrySubmit(
            new EngineRequest { RequestId = "r", PromptTokenIds = [1], Sampling = new SamplingParameters { MaxTokens = 1 } }, out _)!;
        Assert.True(await sequence.WaitToReadAsync().AsTask().WaitAsync(GrainsFixture.Patience));
    }

    private ScriptedSequence Add(long slot, bool wasInFailedStep = false)
    {
        var (sequence, stay) = (new ScriptedSequence { WasInFailedStep = wasInFailedStep }, _replica.TryEnter()!);
        try
        {
            _reader.Add(slot, sequence, stay);
        }
        catch
        {
            stay.Dispose();
            throw;
        }

        return sequence;
    }
}
