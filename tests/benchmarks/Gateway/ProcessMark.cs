using System.Diagnostics;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>What this process has used up so far.</summary>
/// <param name="Timestamp">Ticks of <see cref="Stopwatch"/>: one clock for all processes of the machine.</param>
/// <param name="Tokens">Tokens that have arrived, where the process counts them.</param>
internal sealed record ProcessMark(
    long Timestamp, double UserSeconds, double KernelSeconds, long AllocatedBytes, int Gen0, int Gen1, int Gen2, double PauseSeconds, long Tokens)
{
    public double CpuSeconds => UserSeconds + KernelSeconds;

    public static ProcessMark Now(long tokens = 0)
    {
        var cpu = Environment.CpuUsage;
        return new(
            Stopwatch.GetTimestamp(), cpu.UserTime.TotalSeconds, cpu.PrivilegedTime.TotalSeconds, GC.GetTotalAllocatedBytes(),
            GC.CollectionCount(0), GC.CollectionCount(1), GC.CollectionCount(2), GC.GetTotalPauseDuration().TotalSeconds, tokens);
    }

    public static ProcessMark operator -(ProcessMark end, ProcessMark begin) => new(
        end.Timestamp - begin.Timestamp, end.UserSeconds - begin.UserSeconds, end.KernelSeconds - begin.KernelSeconds, end.AllocatedBytes - begin.AllocatedBytes,
        end.Gen0 - begin.Gen0, end.Gen1 - begin.Gen1, end.Gen2 - begin.Gen2, end.PauseSeconds - begin.PauseSeconds, end.Tokens - begin.Tokens);
}
