using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Granary.Grains;

namespace Granary.Silo.Hosting;

/// <summary>How fast a device is, as a planner compares it with others.</summary>
/// <param name="FlopsPerSecond">Multiply-adds a second of one core.</param>
/// <param name="BytesPerSecond">Bytes a second that all cores together read from memory.</param>
internal sealed record DeviceFigures(double FlopsPerSecond, double BytesPerSecond) : IDeviceFigures;

/// <summary>Measures this machine's cores and memory, in about a tenth of a second and with 128 MiB.</summary>
/// <remarks>Peaks, not what a model will reach: plans depend on how machines compare, and kernels come about equally near everywhere.</remarks>
internal static unsafe class DeviceProbe
{
    // Beyond the caches of most machines; where a cache is larger, so is its share of every real model.
    private const long Bytes = 128L << 20;
    private const int Passes = 3;
    private const int Rounds = 2000;
    private const int RoundsOfBlock = 512;
    private static readonly TimeSpan ArithmeticTime = TimeSpan.FromMilliseconds(20);

    /// <param name="threads">Threads that read memory at once, as many as the worker has cores; at most 64 are used.</param>
    /// <param name="time">What the passes are timed by.</param>
    public static DeviceFigures Measure(int threads, TimeProvider time) => new(MultiplyAdds(time), Bandwidth(Math.Clamp(threads, 1, 64), time));

    private static double MultiplyAdds(TimeProvider time)
    {
        var best = 0.0;
        var begin = time.GetTimestamp();
        for (var round = 0; round < Rounds && time.GetElapsedTime(begin) < ArithmeticTime; round++)
        {
            var start = time.GetTimestamp();
            if (!float.IsFinite(Block())) throw new InvalidOperationException("Products of numbers below 1 have grown without bound.");
            var seconds = time.GetElapsedTime(start).TotalSeconds;
            if (seconds > 0) best = Math.Max(best, (double)RoundsOfBlock * 10 * Vector<float>.Count / seconds);
        }

        return best;
    }

    // Ten independent chains hide the latency of a multiply-add on every core there is.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Block()
    {
        var (factor, term) = (new Vector<float>(0.5f), new Vector<float>(0.25f));
        Vector<float> a = term, b = term, c = term, d = term, e = term, f = term, g = term, h = term, i = term, j = term;
        for (var round = 0; round < RoundsOfBlock; round++)
        {
            a = Vector.FusedMultiplyAdd(a, factor, term);
            b = Vector.FusedMultiplyAdd(b, factor, term);
            c = Vector.FusedMultiplyAdd(c, factor, term);
            d = Vector.FusedMultiplyAdd(d, factor, term);
            e = Vector.FusedMultiplyAdd(e, factor, term);
            f = Vector.FusedMultiplyAdd(f, factor, term);
            g = Vector.FusedMultiplyAdd(g, factor, term);
            h = Vector.FusedMultiplyAdd(h, factor, term);
            i = Vector.FusedMultiplyAdd(i, factor, term);
            j = Vector.FusedMultiplyAdd(j, factor, term);
        }

        return Vector.Sum(a + b + c + d + e + f + g + h + i + j);
    }

    private static double Bandwidth(int threads, TimeProvider time)
    {
        var share = Bytes / sizeof(float) / threads / 64 * 64;
        var memory = (float*)NativeMemory.AlignedAlloc((nuint)Bytes, 4096);
        try
        {
            Each(threads, thread => { new Span<float>(memory + (thread * share), (int)share).Fill(1); return 0; }); // Every page is real.
            var best = 0.0;
            for (var pass = 0; pass < Passes; pass++)
            {
                var start = time.GetTimestamp();
                var sum = Each(threads, thread => Read(memory + (thread * share), share));
                var seconds = time.GetElapsedTime(start).TotalSeconds;
                if (sum <= 0) throw new InvalidOperationException("What was read is not what was written.");
                if (seconds > 0) best = Math.Max(best, threads * share * sizeof(float) / seconds);
            }

            return best;
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    private static float Each(int threads, Func<int, float> work)
    {
        var sums = new float[threads];
        var others = Enumerable.Range(1, threads - 1).Select(thread => new Thread(() => sums[thread] = work(thread)) { IsBackground = true, Name = "device probe" }).ToList();
        others.ForEach(thread => thread.Start());
        sums[0] = work(0);
        others.ForEach(thread => thread.Join());
        return sums.Sum();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Read(float* memory, long count)
    {
        var width = Vector<float>.Count;
        Vector<float> a = default, b = default, c = default, d = default;
        for (long i = 0; i < count; i += 4 * width)
        {
            a += Vector.Load(memory + i);
            b += Vector.Load(memory + i + width);
            c += Vector.Load(memory + i + (2 * width));
            d += Vector.Load(memory + i + (3 * width));
        }

        return Vector.Sum(a + b + c + d);
    }
}
