using Granary.Silo.Gateway;

namespace Granary.Tests.Conformance;

/// <summary>The threads of answers that have begun.</summary>
public sealed class TokenLaneTests
{
    [Fact]
    public async Task EnterAsync_ContinuesOnTheLane_AndStaysThere()
    {
        using var lane = new TokenLane();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Assert.False(lane.IsCurrent);

        var task = Task.Run(async () =>
        {
            await lane.EnterAsync();
            var entered = lane.IsCurrent;
            await gate.Task;
            return (entered, stayed: lane.IsCurrent);
        });
        gate.SetResult();

        Assert.Equal((true, true), await task);
    }

    /// <summary>Whoever still awaits something when the lane is closed goes on in the thread pool.</summary>
    [Fact]
    public async Task Dispose_WhileSomebodyWaits_LosesNobody()
    {
        var lane = new TokenLane();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var task = Task.Run(async () =>
        {
            await lane.EnterAsync();
            entered.SetResult();
            await gate.Task;
            return lane.IsCurrent;
        });
        await entered.Task;

        lane.Dispose();
        gate.SetResult();

        Assert.False(await task.WaitAsync(TimeSpan.FromSeconds(30)));
    }
}
