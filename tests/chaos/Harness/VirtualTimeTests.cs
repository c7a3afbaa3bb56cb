using System.Collections.Concurrent;
using Granary.Tests.Support;

namespace Granary.Tests.Chaos;

[Trait("Category", Chaos.Category)]
public sealed class VirtualTimeTests : IDisposable
{
    /// <summary>Far above what anything here takes, so that a hang is told as one.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly VirtualTime _time = new();

    public void Dispose() => _time.Dispose();

    [Fact]
    public async Task Delays_EndInTheirOrder_AtTheirMoments()
    {
        var ends = new ConcurrentQueue<(int Seconds, TimeSpan At)>();

        await Task.WhenAll(new[] { 3600, 5, 86400, 60 }.Select(WaitAsync)).WaitAsync(Patience);

        Assert.Equal([5, 60, 3600, 86400], ends.Select(end => end.Seconds));
        Assert.All(ends, end => Assert.Equal(TimeSpan.FromSeconds(end.Seconds), end.At));

        async Task WaitAsync(int seconds)
        {
            await Task.Delay(TimeSpan.FromSeconds(seconds), _time);
            ends.Enqueue((seconds, _time.Now));
        }
    }

    [Fact]
    public async Task Computing_TakesNoTime()
    {
        var timer = Task.Delay(TimeSpan.FromMilliseconds(1), _time);
        var held = _time.Hold(); // What is begun in here begins at one moment.
        var work = Task.Run(() =>
        {
            var sum = 0UL;
            for (var i = 0; i < 50_000_000; i++) sum = sum * 31 + (ulong)i;
            return (sum, _time.Now);
        });
        held.Dispose();

        Assert.Equal(TimeSpan.Zero, (await work.WaitAsync(Patience)).Now);
        await timer.WaitAsync(Patience);
        Assert.Equal(TimeSpan.FromMilliseconds(1), _time.Now);
    }

    [Fact]
    public async Task Wait_BlocksItsThread_AsLongAsItSays()
    {
        var device = _time.NewProcess();
        var steps = new List<TimeSpan>();
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() =>
        {
            for (var step = 0; step < 100; step++)
            {
                device.Wait(TimeSpan.FromMilliseconds(7.2));
                steps.Add(_time.Now);
            }

            ended.SetResult();
        }).Start();

        await ended.Task.WaitAsync(Patience);

        Assert.Equal(Enumerable.Range(1, 100).Select(step => TimeSpan.FromMilliseconds(8 * step)), steps); // Rounded up.
    }

    [Fact]
    public async Task PeriodicTimer_FiresEachPeriod_UntilItIsDisposed()
    {
        var fired = new ConcurrentQueue<TimeSpan>();
        await using (_time.CreateTimer(_ => fired.Enqueue(_time.Now), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2)))
            await Task.Delay(TimeSpan.FromSeconds(6), _time).WaitAsync(Patience);

        await Task.Delay(TimeSpan.FromSeconds(60), _time).WaitAsync(Patience);

        Assert.Equal([1, 3, 5], fired.Select(at => at.TotalSeconds));
    }

    [Fact]
    public async Task Change_MovesATimer_AndTheOldMomentIsNoneAnyMore()
    {
        var fired = new TaskCompletionSource<TimeSpan>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var timer = _time.CreateTimer(_ => fired.TrySetResult(_time.Now), null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        timer.Change(TimeSpan.FromSeconds(90), Timeout.InfiniteTimeSpan);

        Assert.Equal(TimeSpan.FromSeconds(90), await fired.Task.WaitAsync(Patience));
    }

    [Fact]
    public async Task FrozenProcess_StandsStill_AndGoesOnLate()
    {
        var process = _time.NewProcess();
        var fired = new TaskCompletionSource<TimeSpan>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var timer = process.CreateTimer(_ => fired.TrySetResult(_time.Now), null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        var waited = Task.Factory.StartNew(
            () =>
            {
                process.Wait(TimeSpan.FromSeconds(2));
                return _time.Now;
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        process.Freeze();

        await Task.Delay(TimeSpan.FromSeconds(10), _time).WaitAsync(Patience);
        Assert.False(fired.Task.IsCompleted || waited.IsCompleted);
        process.Thaw();

        Assert.Equal(TimeSpan.FromSeconds(10), await fired.Task.WaitAsync(Patience));
        Assert.Equal(TimeSpan.FromSeconds(10), await waited.WaitAsync(Patience));
    }

    [Fact]
    public async Task EndedProcess_LetsItsThreadsGo_AndFiresNothing()
    {
        var process = _time.NewProcess();
        var fired = 0;
        await using var timer = process.CreateTimer(_ => Interlocked.Increment(ref fired), null, TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan);
        process.Freeze();
        var waited = Task.Factory.StartNew(() => process.Wait(TimeSpan.FromDays(1)), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Task.Delay(TimeSpan.FromDays(2), _time).WaitAsync(Patience);
        Assert.False(waited.IsCompleted);

        process.End();

        await waited.WaitAsync(Patience);
        process.Wait(TimeSpan.FromHours(1));
        await Task.Delay(TimeSpan.FromSeconds(10), _time).WaitAsync(Patience);
        Assert.Equal(0, Volatile.Read(ref fired));
    }

    [Fact]
    public async Task WrongClock_TellsTheWrongTime_AndItsTimersAreRight()
    {
        var process = _time.NewProcess();
        process.Error = TimeSpan.FromHours(-3);

        await Task.Delay(TimeSpan.FromMinutes(1), process).WaitAsync(Patience);

        Assert.Equal(TimeSpan.FromMinutes(1), _time.Now);
        Assert.Equal(VirtualTime.Start.AddHours(-3).AddMinutes(1), process.GetUtcNow());
    }

    /// <summary>Each clock jumps by itself, to its own next moment.</summary>
    [Fact]
    public async Task TwoClocks_GoSideBySide()
    {
        using var other = new VirtualTime();

        await Task.WhenAll(Task.Delay(TimeSpan.FromDays(1), _time), Task.Delay(TimeSpan.FromSeconds(1), other)).WaitAsync(Patience);

        Assert.Equal((TimeSpan.FromDays(1), TimeSpan.FromSeconds(1)), (_time.Now, other.Now));
    }

    /// <summary>A message that is passed on from thread to thread arrives before any time has passed.</summary>
    [Fact]
    public async Task LongChainOfWork_TakesNoTime()
    {
        await using var alarm = _time.CreateTimer(_ => { }, null, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(1));
        await Task.Delay(TimeSpan.FromMilliseconds(5), _time).WaitAsync(Patience);
        var early = 0;
        for (var i = 0; i < 200; i++)
        {
            var began = await Task.Run(() => _time.Now);
            var ended = began;
            for (var hop = 0; hop < 20; hop++) ended = await Task.Run(() => _time.Now);
            if (ended != began) early++;
        }

        // The first look happens at any moment; after that nothing passes until all is done.
        Assert.True(early <= 10, $"{early} of 200 chains were overtaken by the clock.");
    }
}
