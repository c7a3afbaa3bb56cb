using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Xunit.Abstractions;

namespace Granary.Tests.Cluster.Runtime;

/// <summary>Prints what calls and streams cost; fails only where the cost is of another order than expected.</summary>
public sealed class ThroughputTests(RuntimeCluster runtime, ITestOutputHelper output) : IClassFixture<RuntimeCluster>
{
    [Fact]
    public async Task CallsAndItems_CostMicroseconds()
    {
        var silo = runtime.Cluster.Silos.Single(silo => silo.Name == "Silo_0").ServiceProvider.GetRequiredService<IGrainFactory>();
        await MeasureAsync("call within a silo", 20_000, count => CallAsync(silo.GetGrain<IPlacedGrain>("Silo_0/speed"), count));
        await MeasureAsync("call across silos", 20_000, count => CallAsync(silo.GetGrain<IPlacedGrain>("Silo_1/speed"), count));
        await MeasureAsync("item, ready together, within a silo", 400_000, count => ReadAsync(silo.GetGrain<IPlacedGrain>("Silo_0/speed"), count, false));
        await MeasureAsync("item, ready together, from the client", 400_000, count => ReadAsync(runtime.Client.GetGrain<IPlacedGrain>("Silo_0/speed"), count, false));
        var single = await MeasureAsync("item, one by one, from the client", 20_000, count => ReadAsync(runtime.Client.GetGrain<IPlacedGrain>("Silo_0/speed"), count, true));
        // Loaded machines are slow; a poll or a timeout on the way would be slower by orders.
        Assert.True(single < TimeSpan.FromMilliseconds(1), $"{single.TotalMicroseconds} µs");
    }

    private static async Task CallAsync(IPlacedGrain grain, int count)
    {
        for (var i = 0; i < count; i++) await grain.SiloAsync();
    }

    private static async Task ReadAsync(IPlacedGrain grain, int count, bool pause)
    {
        await foreach (var _ in grain.CountAsync(count, pause))
        {
        }
    }

    private async Task<TimeSpan> MeasureAsync(string what, int count, Func<int, Task> run)
    {
        await run(count / 4);
        var allocated = GC.GetTotalAllocatedBytes();
        var start = Stopwatch.GetTimestamp();
        var cpu = Environment.CpuUsage.TotalTime;
        await run(count);
        var each = Stopwatch.GetElapsedTime(start) / count;
        output.WriteLine($"{what}: {each.TotalMicroseconds:F2} µs ({((Environment.CpuUsage.TotalTime - cpu) / count).TotalMicroseconds:F2} of CPU), {(GC.GetTotalAllocatedBytes() - allocated) / count} bytes");
        return each;
    }
}
