using Orleans.Runtime;

namespace Granary.Tests.Cluster.Runtime;

public sealed class StreamTests(RuntimeCluster runtime) : IClassFixture<RuntimeCluster>
{
    private readonly string _key = Guid.NewGuid().ToString("N");

    private IPlacedGrain Grain(string silo = "Silo_1") => runtime.Client.GetGrain<IPlacedGrain>($"{silo}/{_key}");

    [Theory]
    [InlineData(0, false, 100)]
    [InlineData(1, false, 100)]
    [InlineData(250, false, 100)]
    [InlineData(250, false, 1)]
    [InlineData(250, true, 100)]
    [InlineData(250, true, 7)]
    public async Task Stream_BringsEveryItemInOrder(int count, bool pause, int batch)
    {
        var items = new List<int>();
        await foreach (var item in Grain().CountAsync(count, pause).WithBatchSize(batch)) items.Add(item);
        Assert.Equal(Enumerable.Range(0, count), items);
        await Signals.Wait($"Silo_1/{_key}/finally");
    }

    [Fact]
    public async Task FirstItem_ComesAtOnce_AndTheGrainIsNotBlocked()
    {
        var grain = Grain();
        await using var stream = grain.StepAsync().GetAsyncEnumerator();
        var next = stream.MoveNextAsync().AsTask();
        // Both calls run while the stream waits for its first item.
        Assert.Equal("Silo_1", await grain.SiloAsync());
        await grain.PushAsync(1);
        Assert.True(await next.WaitAsync(Signals.Patience));
        Assert.Equal(1, stream.Current);
        next = stream.MoveNextAsync().AsTask();
        await grain.PushAsync(2);
        Assert.True(await next.WaitAsync(Signals.Patience));
        Assert.Equal(2, stream.Current);
    }

    [Fact]
    public async Task Break_RunsTheProducersFinally()
    {
        await foreach (var _ in Grain().CountAsync(1_000_000, pause: true)) break;
        await Signals.Wait($"Silo_1/{_key}/finally");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Cancel_EndsTheStream_AndRunsTheProducersFinally(bool byArgument)
    {
        using var cancel = new CancellationTokenSource();
        var grain = Grain();
        await grain.PushAsync(1);
        var stream = byArgument ? grain.StepAsync(cancel.Token) : grain.StepAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in stream.WithCancellation(byArgument ? default : cancel.Token)) await cancel.CancelAsync();
        });
        await Signals.Wait($"Silo_1/{_key}/finally");
    }

    [Fact]
    public async Task CancelWhileWaiting_EndsThePull()
    {
        using var cancel = new CancellationTokenSource();
        await using var stream = Grain().StepAsync().GetAsyncEnumerator(cancel.Token);
        var next = stream.MoveNextAsync().AsTask();
        await Grain().SiloAsync();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next.WaitAsync(Signals.Patience));
        await Signals.Wait($"Silo_1/{_key}/finally");
    }

    [Fact]
    public async Task Error_ComesAfterTheItemsBeforeIt()
    {
        var grain = Grain();
        await grain.PushAsync(1);
        await grain.PushAsync(2);
        await grain.CompleteAsync("broken");
        var items = new List<int>();
        var thrown = await Assert.ThrowsAsync<MarkedException>(async () =>
        {
            await foreach (var item in grain.StepAsync()) items.Add(item);
        });
        Assert.Equal("broken", thrown.Message);
        Assert.Equal([1, 2], items);
    }

    [Fact]
    public async Task LongPoll_OutlivesTheResponseTimeout()
    {
        var grain = Grain();
        await using var stream = grain.StepAsync().GetAsyncEnumerator();
        var next = stream.MoveNextAsync().AsTask();
        // A second call as long as the timeout is the clock here.
        await Assert.ThrowsAsync<TimeoutException>(() => runtime.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName).HoldAsync());
        Signals.Set(_key + "/go");
        Assert.False(next.IsCompleted);
        await grain.PushAsync(3);
        Assert.True(await next.WaitAsync(Signals.Patience));
    }

    [Fact]
    public async Task Deactivation_AbortsTheStream()
    {
        var grain = runtime.Client.GetGrain<IEndingGrain>(_key);
        await using var stream = grain.StreamAsync().GetAsyncEnumerator();
        Assert.True(await stream.MoveNextAsync());
        await grain.EndAsync();
        await Signals.Wait(_key + "/ended");
        await Assert.ThrowsAsync<EnumerationAbortedException>(async () =>
        {
            while (await stream.MoveNextAsync())
            {
            }
        });
    }
}
