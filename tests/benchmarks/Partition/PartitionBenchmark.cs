using System.Globalization;
using Granary.Tests.Benchmarks.Gateway;

namespace Granary.Tests.Benchmarks.Partition;

/// <summary>What cutting a model into stages and ranks costs on one machine: each layout has as many threads in all, and does the same work.</summary>
/// <remarks>
/// Layouts take turns, window by window, so that what else the machine does befalls all of them; ratios are taken window by window. Then once more beside
/// a process that keeps one core busy, as a neighbour would: whoever waits for peers often suffers from it most.
/// </remarks>
internal static class PartitionBenchmark
{
    private const int Seed = 1;
    private const int PromptTokens = 16;

    public static async Task<int> RunAsync(string[] arguments)
    {
        if (!TryParse(arguments, out var options)) return 2;
        var results = new List<Result>();
        foreach (var model in options.Models)
        {
            Console.WriteLine($"{model.Name}, {model.Weights}, random weights, seed {MediumModel.Seed}; tokens/s: median of {options.Windows} windows, and of the windows' ratios to the first layout");
            var layouts = new List<PartitionLayout>();
            try
            {
                foreach (var (stages, ranks, threads) in options.Layouts)
                    layouts.Add(await PartitionLayout.OpenAsync(model, stages, ranks, threads, options.Sequences.Max(), PromptTokens + options.Tokens + options.Sequences.Max() + 1));
                foreach (var busy in options.Busy) results.AddRange(await MeasureAsync(model, layouts, busy, options));
            }
            finally
            {
                foreach (var layout in layouts) await layout.DisposeAsync();
            }
        }

        Report.Write(options.Output, results);
        return 0;
    }

    private static async Task<List<Result>> MeasureAsync(PartitionModel model, List<PartitionLayout> layouts, bool busy, Options options)
    {
        await using var neighbour = busy ? Child.Start("links-load", []) : null;
        var random = new Random(Seed);
        var results = new List<Result>();
        foreach (var sequences in options.Sequences)
        {
            var rates = layouts.Select(_ => new List<double>()).ToArray();
            for (var window = -1; window < options.Windows; window++)
            {
                for (var i = 0; i < layouts.Count; i++)
                {
                    var rate = await layouts[i].DecodeAsync(random, model.Shape.Vocabulary, sequences, PromptTokens, options.Tokens);
                    if (window >= 0) rates[i].Add(rate);
                }
            }

            for (var i = 0; i < layouts.Count; i++)
            {
                var ratios = rates[i].Zip(rates[0], (rate, whole) => rate / whole).ToArray();
                var times = layouts[i].Times;
                results.Add(new(
                    model.Name, layouts[i].Name, busy, sequences, Statistics.Median(rates[i]), Statistics.Median(ratios), ratios.Min(), ratios.Max(),
                    [.. times.Select(time => time.SecondsPerStep * 1e3)], [.. times.Select(time => time.WaitSecondsPerStep * 1e3)]));
                Console.WriteLine(results[^1]);
            }
        }

        return results;
    }

    private static bool TryParse(string[] arguments, out Options options)
    {
        options = new(
            [PartitionModel.Medium, PartitionModel.Billion], [(1, 1, 2), (2, 1, 1), (1, 2, 1)], [1, 4, 16], [false, true], Windows: 7, Tokens: 48,
            Path.Combine("artifacts", "benchmarks", "partition.json"));
        for (var i = 0; i < arguments.Length; i += 2)
        {
            var value = i + 1 < arguments.Length ? arguments[i + 1] : "";
            try
            {
                options = arguments[i] switch
                {
                    "--models" => options with { Models = [.. value.Split(',').Select(Model)] },
                    "--layouts" => options with { Layouts = [.. value.Split(',').Select(Layout)] },
                    "--sequences" => options with { Sequences = [.. value.Split(',').Select(text => Number(text, 256))] },
                    "--busy" => options with { Busy = [.. value.Split(',').Select(bool.Parse)] },
                    "--windows" => options with { Windows = Number(value, 1000) },
                    "--tokens" => options with { Tokens = Number(value, 1000) },
                    "--output" when value.Length > 0 => options with { Output = value },
                    _ => throw new FormatException($"unknown option {arguments[i]}"),
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

    private static PartitionModel Model(string name) =>
        new[] { PartitionModel.Medium, PartitionModel.Billion }.FirstOrDefault(model => model.Name == name) ?? throw new FormatException($"there is no model {name}");

    /// <summary>Stages, ranks and threads of each shard: <c>2x1x1</c>.</summary>
    private static (int Stages, int Ranks, int Threads) Layout(string text) =>
        text.Split('x') is [var stages, var ranks, var threads] ? (Number(stages, 64), Number(ranks, 64), Number(threads, 64)) : throw new FormatException("a layout is STAGESxRANKSxTHREADS");

    private static int Number(string text, int most) =>
        int.Parse(text, CultureInfo.InvariantCulture) is var number && number >= 1 && number <= most ? number : throw new FormatException($"{number} is not in 1 … {most}");

    private sealed record Options(
        PartitionModel[] Models, (int Stages, int Ranks, int Threads)[] Layouts, int[] Sequences, bool[] Busy, int Windows, int Tokens, string Output);

    /// <param name="StepMilliseconds">Of each shard, waiting included, smoothed over the last windows.</param>
    /// <param name="WaitMilliseconds">Of each shard and step: for the stage before and the ranks beside.</param>
    private sealed record Result(
        string Model, string Layout, bool Busy, int Sequences, double TokensPerSecond, double Ratio, double LeastRatio, double MostRatio,
        double[] StepMilliseconds, double[] WaitMilliseconds)
    {
        public override string ToString() => string.Create(
            CultureInfo.InvariantCulture,
            $"{Layout,-22}{(Busy ? "busy" : "idle"),-6}{Sequences,3} sequences {TokensPerSecond,8:F1}  {Ratio:F3} ({LeastRatio:F3} to {MostRatio:F3})  step ms {Text(StepMilliseconds)}, of it waiting {Text(WaitMilliseconds)}");

        private static string Text(double[] values) => string.Join(" ", values.Select(value => value.ToString("F2", CultureInfo.InvariantCulture)));
    }
}
