using System.Diagnostics;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Granary.Tests.Benchmarks;

/// <summary>What this machine reads from memory per second at this moment: the bound of decoding.</summary>
internal static unsafe class MemoryBandwidth
{
    // Well beyond the last cache of the machines at hand, so that every pass comes from memory.
    private const long Bytes = 512L << 20;
    private const int Passes = 7;

    /// <returns>Median of several passes, in bytes per second, read by this many threads together.</returns>
    public static double Measure(int threads)
    {
        var memory = (float*)NativeMemory.AlignedAlloc((nuint)Bytes, 4096);
        try
        {
            new Span<float>(memory, (int)(Bytes / sizeof(float))).Fill(1); // Every page is real.
            var rates = new double[Passes];
            var sums = new float[threads];
            for (var pass = 0; pass < Passes; pass++)
            {
                var share = Bytes / sizeof(float) / threads;
                var clock = Stopwatch.StartNew();
                var workers = Enumerable.Range(1, threads - 1).Select(t => new Thread(() => sums[t] = Read(memory + (t * share), share))).ToList();
                workers.ForEach(worker => worker.Start());
                sums[0] = Read(memory, share);
                workers.ForEach(worker => worker.Join());
                rates[pass] = Bytes / clock.Elapsed.TotalSeconds;
            }

            if (sums.Sum() <= 0) throw new InvalidOperationException("What was read is not what was written.");
            return Statistics.Median(rates);
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

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
