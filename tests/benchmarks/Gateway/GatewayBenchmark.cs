using System.Globalization;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>What the gateway adds to a device of fixed step time, from few requests to more than the machine carries.</summary>
/// <remarks>
/// Three sides under the same Poisson arrivals of streamed completions: a real silo in a process of its own, the least server that
/// writes the same frames, and the engine alone. A client in a process of its own reads raw sockets. The time a request waits in the engine depends
/// on the phase of the step it meets, so it is taken out request by request: added time = (submitted − sent) + (first frame − end of the
/// step that made the token). Sampling and handing out are thereby counted as added; the row of the engine alone shows how much of it is theirs.
/// </remarks>
internal static class GatewayBenchmark
{
    private static readonly Dictionary<string, string> ClientEnvironment = new()
    {
        // One thread reads all sockets and stamps what it reads: no hop in between.
        ["DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS"] = "1",
        ["DOTNET_SYSTEM_NET_SOCKETS_THREAD_COUNT"] = "1",
    };

    public static async Task<int> RunAsync(string[] arguments)
    {
        if (!TryParse(arguments, out var options)) return 2;
        var results = new List<GatewayResult>();
        Console.WriteLine($"streams of {Prompt.Tokens} + {options.MaxTokens} tokens, steps of {options.StepMilliseconds} ms, windows of {options.Window} s");
        Console.WriteLine(GatewayResult.Header);
        foreach (var side in options.Sides)
        {
            if (side == "engine") await MeasureEngineAsync(options, Add);
            else await MeasureServerAsync(side == "granary" ? "gateway-silo" : "gateway-bare-server", side, options, Add);
        }

        Report.Write(options.Output, results);
        return 0;

        void Add(GatewayResult result)
        {
            results.Add(result);
            Console.WriteLine(result);
        }
    }

    private static async Task MeasureServerAsync(string role, string side, Options options, Action<GatewayResult> add)
    {
        await using var server = Child.Start(role, [options.StepMilliseconds.ToString(CultureInfo.InvariantCulture)]);
        var port = await server.ExpectAsync("ready");
        var number = 0;
        // The first run only lets the server compile what it runs.
        await RunAsync(new Load(200, options.MaxTokens, 4, 4, number, 0));
        foreach (var rate in options.Rates)
        {
            number += 1 << 15;
            var result = await RunAsync(new Load(rate, options.MaxTokens, options.WarmUp, options.Window, number, rate));
            add(result);
            if (result.IsSaturated) break;
        }

        await server.EndAsync();

        async Task<GatewayResult> RunAsync(Load load)
        {
            var (traces, steps) = (Path.GetTempFileName(), Path.GetTempFileName());
            await using var client = Child.Start("gateway-client", [port, traces, .. load.ToArguments()], ClientEnvironment);
            var clientBegin = await client.ExpectMarkAsync("begin");
            server.Order("mark");
            var serverBegin = await server.ExpectMarkAsync("mark");
            var clientEnd = await client.ExpectMarkAsync("end");
            server.Order("mark");
            var serverEnd = await server.ExpectMarkAsync("mark");
            await client.EndAsync();
            server.Order($"log {steps}");
            await server.ExpectAsync("logged");
            return GatewayResult.Of(side, load, StepLog.Load(steps), LoadAndDelete(traces, steps), serverEnd - serverBegin, clientEnd - clientBegin);
        }
    }

    private static async Task MeasureEngineAsync(Options options, Action<GatewayResult> add)
    {
        foreach (var rate in options.Rates)
        {
            var load = new Load(rate, options.MaxTokens, options.WarmUp, options.Window, 0, rate);
            var (traces, steps) = (Path.GetTempFileName(), Path.GetTempFileName());
            await using var engine = Child.Start("gateway-bare-engine", [options.StepMilliseconds.ToString(CultureInfo.InvariantCulture), traces, steps, .. load.ToArguments()]);
            var begin = await engine.ExpectMarkAsync("begin");
            var end = await engine.ExpectMarkAsync("end");
            await engine.EndAsync();
            add(GatewayResult.Of("engine", load, StepLog.Load(steps), LoadAndDelete(traces, steps), end - begin, null));
        }
    }

    private static Trace[] LoadAndDelete(string traces, string steps)
    {
        var loaded = Trace.Load(traces);
        File.Delete(traces);
        File.Delete(steps);
        return loaded;
    }

    private static bool TryParse(string[] arguments, out Options options)
    {
        options = new(["engine", "server", "granary"], [50, 100, 200, 350, 500], 200, 10, 4, 10, Report.DefaultPath("gateway"));
        for (var i = 0; i < arguments.Length; i += 2)
        {
            var value = i + 1 < arguments.Length ? arguments[i + 1] : "";
            try
            {
                options = arguments[i] switch
                {
                    "--sides" when value.Split(',') is var sides && sides.All(side => side is "engine" or "server" or "granary") => options with { Sides = sides },
                    "--rates" => options with { Rates = [.. value.Split(',').Select(part => Number(part, 1, 2000))] },
                    "--tokens" => options with { MaxTokens = Number(value, 2, 900) },
                    "--step-ms" => options with { StepMilliseconds = Number(value, 1, 1000) },
                    "--warm-up" => options with { WarmUp = Number(value, 1, 60) },
                    "--window" => options with { Window = Number(value, 1, 60) },
                    "--output" when value.Length > 0 => options with { Output = value },
                    _ => throw new FormatException("no such option or value"),
                };
            }
            catch (Exception exception) when (exception is FormatException or OverflowException)
            {
                Console.Error.WriteLine($"{arguments[i]} {value}: {exception.Message}");
                return false;
            }
        }

        return true;
    }

    private static int Number(string text, int least, int most) =>
        int.Parse(text, CultureInfo.InvariantCulture) is var number && number >= least && number <= most ? number : throw new FormatException($"{number} is not in {least} … {most}");

    private sealed record Options(string[] Sides, int[] Rates, int MaxTokens, int StepMilliseconds, int WarmUp, int Window, string Output);
}
