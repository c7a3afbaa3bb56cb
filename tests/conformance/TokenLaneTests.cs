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

    /// <summary>What comes after the lane is closed goes on in the thread pool.</summary>
    [Fact]
    public async Task Dispose_ThenMoreComes_ItRunsElsewhere()
    {
        var lane = new TokenLane();
        lane.Dispose();

        var onLane = Task.Run(async () =>
        {
            await lane.EnterAsync();
            return lane.IsCurrent;
        });

        Assert.False(await onLane.WaitAsync(TimeSpan.FromSeconds(30)));
    }
}
