using Granary.Client;

namespace Granary.Tests.Cluster.Delivery;

public sealed class ReaderTurnsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Add_OthersWait_FirstTokensGoBeforeThem()
    {
        var turns = new ReaderTurns(workers: 1);
        using var held = new ManualResetEventSlim();
        var order = new List<string>();
        var all = new CountdownEvent(13);
        turns.Add(new Reader(() => held.Wait(Patience)), begins: false); // Whoever runs now, runs to its end.
        for (var i = 0; i < 10; i++) turns.Add(Noting($"going {i}"), begins: false);
        for (var i = 0; i < 3; i++) turns.Add(Noting($"beginning {i}"), begins: true);
        held.Set();

        await Task.Run(() => Assert.True(all.Wait(Patience)));
        Assert.Equal([.. Enumerable.Range(0, 3).Select(i => $"beginning {i}"), .. Enumerable.Range(0, 10).Select(i => $"going {i}")], order);

        Reader Noting(string name) => new(() =>
        {
            order.Add(name); // There is one worker.
            all.Signal();
        });
    }

    /// <summary>However adding and the workers' ends fall together, each reader runs once for each time that it was added.</summary>
    [Theory, InlineData(1), InlineData(3)]
    public async Task Add_FromManyThreads_RunsEachOnce(int workers)
    {
        const int Adders = 4, Rounds = 20_000;
        var turns = new ReaderTurns(workers);
        var running = 0;
        var most = 0;
        var left = new CountdownEvent(Adders * Rounds);
        var reader = new Reader(() =>
        {
            var now = Interlocked.Increment(ref running);
            if (now > Volatile.Read(ref most)) Interlocked.Exchange(ref most, now);
            Interlocked.Decrement(ref running);
            left.Signal(); // One too many throws.
        });
        await Task.WhenAll(Enumerable.Range(0, Adders).Select(adder => Task.Run(() =>
        {
            for (var i = 0; i < Rounds; i++) turns.Add(reader, begins: (i + adder) % 3 == 0);
        }))).WaitAsync(Patience);

        await Task.Run(() => Assert.True(left.Wait(Patience), $"{left.CurrentCount} did not run"));
        Assert.InRange(most, 1, workers);
    }

    private sealed class Reader(Action run) : IThreadPoolWorkItem
    {
        public void Execute() => run();
    }
}
