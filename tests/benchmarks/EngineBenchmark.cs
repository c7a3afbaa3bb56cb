using System.Diagnostics;
using System.Globalization;
using Granary.Engine.Execution;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;

namespace Granary.Tests.Benchmarks;

/// <summary>How fast steps are on random weights of the 110M shape, beside what memory bandwidth allows.</summary>
/// <remarks>
/// Decoding is measured at 128 … 255 tokens already in the cache, in windows of a few steps; medians and best windows are printed, since
/// the machine may be shared. The bound of decoding is sequences × bandwidth / bytes of the matrices, with the bandwidth read in the
/// same run by as many threads; larger batches are bound by arithmetic instead and stay below it.
/// </remarks>
internal static class EngineBenchmark
{
    private const int PromptTokens = 512;
    private const int PastFrom = 128;
    private const int PastTo = 256;
    private const int DecodeSteps = 32;
    private const int StepsPerWindow = 4;
    private const int PrefillRuns = 5;

    private static readonly SyntheticShape Shape = SyntheticShape.Medium;

    public static int Run(string[] arguments)
    {
        if (!TryParse(arguments, out var options)) return 2;
        var (cache, source) = MediumModel.Prepare();

        var results = new List<Result>();
        Console.WriteLine($"110M shape, random weights, seed {MediumModel.Seed}; tokens per second: median (best)");
        Console.WriteLine("format   threads  read GB/s  load ms  " + string.Concat(options.Sequences.Select(b => $"{"decode " + b,-27}")) + "prefill 512");
        foreach (var threads in options.Threads)
        {
            foreach (var format in options.Formats)
            {
                var model = cache.GetOrImport(source, new ImportOptions { Weights = format });
                var result = Measure(model.Directory, format, threads, options.Sequences);
                results.Add(result);
                Console.WriteLine(result.ToString());
            }
        }

        Report.Write(options.Output, results);
        return 0;
    }

    private static Result Measure(string directory, WeightFormat format, int threads, int[] sequences)
    {
        var most = sequences.Max();
        var executorOptions = new OnnxExecutorOptions
        {
            IntraOpThreads = threads,
            KvBlockCount = BlockStride * PromptTokens / 16,
            MaxSequencesPerStep = most,
            ContextLength = 512,
        };
        using (OnnxStepExecutor.Open(directory, executorOptions))
        {
            // The first opening packs the weights; the load measured is that of every later one.
        }

        var clock = Stopwatch.StartNew();
        using var executor = OnnxStepExecutor.Open(directory, executorOptions);
        var load = clock.Elapsed;
        var bandwidth = MemoryBandwidth.Measure(threads);

        var prefill = new List<double>();
        for (var i = 0; i < PrefillRuns; i++) prefill.Add(PromptTokens / Time(executor, Plan(1, 0, PromptTokens, PromptTokens / 16)));
        for (var sequence = 0; sequence < most; sequence++) Time(executor, Plan(1, 0, PastFrom, PastTo / 16, sequence));

        var decode = sequences.Select(count =>
        {
            Time(executor, Plan(count, PastFrom, 1, PastTo / 16));
            var rates = new List<double>();
            for (var window = 0; window < DecodeSteps / StepsPerWindow; window++)
            {
                var seconds = 0.0;
                for (var step = 0; step < StepsPerWindow; step++)
                {
                    var past = PastFrom + (((window * StepsPerWindow) + step) * (PastTo - PastFrom) / DecodeSteps);
                    seconds += Time(executor, Plan(count, past, 1, PastTo / 16));
                }

                rates.Add(StepsPerWindow * count / seconds);
            }

            var bound = count * bandwidth / MatrixBytes(format);
            return new Cell(count, Statistics.Median(rates), rates.Max(), bound, Statistics.Median(rates) / bound);
        });
        return new Result(format.ToString(), threads, bandwidth, load.TotalMilliseconds, [.. decode], Statistics.Median(prefill), prefill.Max());
    }

    private static double Time(OnnxStepExecutor executor, StepPlan plan)
    {
        var clock = Stopwatch.StartNew();
        executor.Begin(plan);
        executor.End();
        return clock.Elapsed.TotalSeconds;
    }

    private static StepPlan Plan(int sequences, int past, int count, int tableWidth, int firstSequence = 0) => new()
    {
        Step = 1,
        TokenCount = sequences * count,
        SequenceCount = sequences,
        HiddenCount = sequences,
        LogitCount = sequences,
        BlockTableWidth = tableWidth,
        TokenIds = [.. Enumerable.Range(0, sequences * count).Select(i => ((i * 7919) + past) % Shape.Vocabulary)],
        CumulativeSequenceLengths = [.. Enumerable.Range(0, sequences + 1).Select(b => b * count)],
        PastLengths = [.. Enumerable.Repeat(past, sequences)],
        // Blocks of a sequence lie apart, as they do after some time of serving.
        BlockTable = [.. from b in Enumerable.Range(firstSequence, sequences) from w in Enumerable.Range(0, tableWidth) select (w * BlockStride) + b],
        HiddenRows = [.. Enumerable.Range(1, sequences).Select(b => (b * count) - 1)],
        LogitRows = [.. Enumerable.Range(0, sequences)],
        RowTemperatures = [.. Enumerable.Repeat(RowWants.Whole, sequences)],
    };

    // At most this many sequences decode together.
    private const int BlockStride = 32;

    private static double MatrixBytes(WeightFormat format)
    {
        var layer = ((long)Shape.Hidden * Shape.HeadSize * ((2 * Shape.Heads) + (2 * Shape.KvHeads))) + (3L * Shape.Hidden * Shape.Intermediate);
        var elements = (layer * Shape.Layers) + ((long)Shape.Vocabulary * Shape.Hidden);
        // Integers have one 4-byte scale for 32 of them.
        return elements * format switch { WeightFormat.Int8 => 1.125, WeightFormat.Int4 => 0.625, _ => 4.0 };
    }

    private static bool TryParse(string[] arguments, out Options options)
    {
        options = new Options(Enum.GetValues<WeightFormat>(), [1, Math.Min(2, Environment.ProcessorCount)], [1, 4, 16, 32], Path.Combine("artifacts", "benchmarks", "engine.json"));
        for (var i = 0; i < arguments.Length; i += 2)
        {
            var value = i + 1 < arguments.Length ? arguments[i + 1] : "";
            try
            {
                options = arguments[i] switch
                {
                    "--formats" => options with { Formats = [.. value.Split(',').Select(name => Enum.Parse<WeightFormat>(name, ignoreCase: true))] },
                    "--threads" => options with { Threads = Numbers(value, 1024) },
                    "--sequences" => options with { Sequences = Numbers(value, BlockStride) },
                    "--output" when value.Length > 0 => options with { Output = value },
                    _ => throw new FormatException($"unknown option {arguments[i]}"),
                };
            }
            catch (Exception exception) when (exception is FormatException or ArgumentException or OverflowException)
            {
                Console.Error.WriteLine($"{arguments[i]} {value}: {exception.Message}");
                return false;
            }
        }

        return true;
    }

    private static int[] Numbers(string text, int most) => [.. text.Split(',').Select(part =>
        int.Parse(part, CultureInfo.InvariantCulture) is var number && number >= 1 && number <= most ? number : throw new FormatException($"{number} is not in 1 … {most}"))];

    private sealed record Options(WeightFormat[] Formats, int[] Threads, int[] Sequences, string Output);

    /// <summary>Decoding with so many sequences together.</summary>
    private sealed record Cell(int Sequences, double TokensPerSecond, double BestTokensPerSecond, double BandwidthBound, double ShareOfBound);

    private sealed record Result(
        string Format, int Threads, double BytesReadPerSecond, double LoadMilliseconds, Cell[] Decode, double PrefillTokensPerSecond, double BestPrefillTokensPerSecond)
    {
        public override string ToString() => string.Create(
            CultureInfo.InvariantCulture,
            $"{Format,-9}{Threads,7}{BytesReadPerSecond / 1e9,11:F1}{LoadMilliseconds,9:F0}  {string.Concat(Decode.Select(Text))}{PrefillTokensPerSecond:F0} ({BestPrefillTokensPerSecond:F0})");

        private static string Text(Cell cell) =>
            string.Create(CultureInfo.InvariantCulture, $"{$"{cell.TokensPerSecond:F0} ({cell.BestTokensPerSecond:F0}), {cell.ShareOfBound:P0} of bound",-27}");
    }
}
