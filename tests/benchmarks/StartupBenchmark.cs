using System.Diagnostics;
using System.Globalization;

namespace Granary.Tests.Benchmarks;

/// <summary>How long a fresh process needs to its first token, and what a silo costs that has nothing to do.</summary>
internal static class StartupBenchmark
{
    private const int Runs = 7;
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan IdleWindow = TimeSpan.FromSeconds(30);

    public static async Task<int> RunAsync(string[] arguments)
    {
        if (arguments is not ([] or ["--output", { Length: > 0 }]))
        {
            Console.Error.WriteLine("Usage: startup [--output FILE]");
            return 2;
        }

        var cache = Directory.CreateTempSubdirectory("granary-startup-").FullName;
        try
        {
            var cold = await FirstTokenAsync(cache);
            var warm = new List<double>();
            for (var run = 0; run < Runs; run++) warm.Add(await FirstTokenAsync(cache));
            var (resident, idle) = await IdleAsync(cache);

            Console.WriteLine("tiny-assistant, process start to first token on standard output, and a serving silo without requests");
            Console.WriteLine("first start s  later starts s: median (best)  resident MB  idle % of a core");
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{cold,13:F2}{$"{Statistics.Median(warm):F2} ({warm.Min():F2})",32}{resident / 1e6,13:F0}{idle * 100,18:F2}"));
            Report.Write(
                arguments is [_, var output] ? output : Report.DefaultPath("startup"),
                new { FirstStartSeconds = cold, LaterStartSeconds = warm, ResidentBytes = resident, IdleShareOfACore = idle });
            return 0;
        }
        finally
        {
            Directory.Delete(cache, recursive: true);
        }
    }

    private static async Task<double> FirstTokenAsync(string cache)
    {
        var clock = Stopwatch.StartNew();
        using var silo = Start(cache, "--ask", "What is the capital of France?");
        try
        {
            var log = silo.StandardError.ReadToEndAsync();
            if (await silo.StandardOutput.ReadAsync(new char[1], Patience()) == 0) throw new InvalidOperationException($"The silo gave no answer: {await log}");
            var seconds = clock.Elapsed.TotalSeconds;
            await silo.StandardOutput.ReadToEndAsync(Patience());
            return seconds;
        }
        finally
        {
            silo.Kill();
            await silo.WaitForExitAsync();
        }
    }

    private static async Task<(long Resident, double Idle)> IdleAsync(string cache)
    {
        using var silo = Start(cache, "--urls", "http://127.0.0.1:0");
        try
        {
            var log = silo.StandardError.ReadToEndAsync(); // Read all along: a full pipe would stop the silo.
            while (await silo.StandardOutput.ReadLineAsync(Patience()) is var line && line?.StartsWith("Ready", StringComparison.Ordinal) != true)
            {
                if (line is null) throw new InvalidOperationException($"The silo ended before it was ready: {await log}");
            }

            await Task.Delay(Settle); // What starting left to do, compilation in the background above all, is not idling.
            silo.Refresh();
            var (before, clock) = (silo.TotalProcessorTime, Stopwatch.StartNew());
            await Task.Delay(IdleWindow);
            silo.Refresh();
            return (silo.WorkingSet64, (silo.TotalProcessorTime - before) / clock.Elapsed);
        }
        finally
        {
            silo.Kill();
            await silo.WaitForExitAsync();
        }
    }

    private static CancellationToken Patience() => new CancellationTokenSource(TimeSpan.FromMinutes(2)).Token;

    private static Process Start(string cache, params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in (string[])[Path.Combine(AppContext.BaseDirectory, "Granary.Silo.dll"), .. arguments]) start.ArgumentList.Add(argument);
        start.Environment["Granary__CacheDirectory"] = cache;
        return Process.Start(start)!;
    }
}
