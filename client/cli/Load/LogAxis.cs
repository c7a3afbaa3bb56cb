namespace Granary.Client.Cli.Load;

/// <summary>A logarithmic axis from one of its ticks to another.</summary>
internal readonly record struct LogAxis(double From, double To)
{
    private const int MostTicks = 8;
    private static readonly double[][] Steps = [[1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 5, 7], [1, 2, 5], [1]];

    /// <summary>The narrowest axis between ticks that holds all from <paramref name="min"/> to <paramref name="max"/>, in the same unit.</summary>
    public static LogAxis Over(double min, double max)
    {
        min = Math.Max(min, 0.01); // Frames of one read are as good as together.
        max = Math.Max(max, min);
        var from = Below(min);
        return new LogAxis(from, Math.Max(Above(max), from * 2));
    }

    /// <summary>From 0 to 1 along the axis; what lies outside is at its end.</summary>
    public double Position(double value) => Math.Clamp(Math.Log(Math.Max(value, From) / From) / Math.Log(To / From), 0, 1);

    /// <summary>Round values, as many as are legible.</summary>
    public IEnumerable<double> Ticks()
    {
        var (from, to) = (From, To);
        foreach (var step in Steps)
        {
            var ticks = Candidates(step, from, to).ToList();
            if (ticks.Count <= MostTicks || step.Length == 1) return ticks;
        }

        return [];
    }

    private static IEnumerable<double> Candidates(double[] step, double from, double to)
    {
        for (var power = (int)Math.Floor(Math.Log10(from) + 1e-9); Math.Pow(10, power) <= to * (1 + 1e-9); power++)
        {
            foreach (var factor in step)
            {
                var tick = factor * Math.Pow(10, power);
                if (tick >= from * (1 - 1e-9) && tick <= to * (1 + 1e-9)) yield return tick;
            }
        }
    }

    private static double Below(double value) => Candidates(Steps[0], value / 10, value).Last();

    private static double Above(double value) => Candidates(Steps[0], value, value * 10).First();
}
