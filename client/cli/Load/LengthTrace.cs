using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Load;

/// <summary>Lengths of recorded requests, in their order.</summary>
internal static class LengthTrace
{
    public const int MaxRows = 1_000_000;

    /// <param name="reader">CSV with columns <c>input_length</c> and <c>output_length</c>, named in its first line; others are passed over.</param>
    /// <exception cref="CliException">A column is missing or a value out of its bounds; the message names file and line.</exception>
    public static IReadOnlyList<(int Prompt, int Output)> Read(TextReader reader, string name)
    {
        var columns = (reader.ReadLine() ?? "").TrimStart('\uFEFF').Split(',', StringSplitOptions.TrimEntries);
        var (input, output) = (Array.IndexOf(columns, "input_length"), Array.IndexOf(columns, "output_length"));
        if (input < 0 || output < 0) throw new CliException($"{name}: line 1 must name the columns input_length and output_length.");
        var rows = new List<(int, int)>();
        for (var line = 2; reader.ReadLine() is { } text; line++)
        {
            if (text.AsSpan().Trim().IsEmpty) continue;
            if (rows.Count == MaxRows) throw new CliException($"{name}: more than {MaxRows} rows.");
            var values = text.Split(',', StringSplitOptions.TrimEntries);
            rows.Add((Length(values, input, "input_length", name, line), Length(values, output, "output_length", name, line)));
        }

        return rows.Count > 0 ? rows : throw new CliException($"{name}: no rows.");
    }

    private static int Length(string[] values, int column, string field, string name, int line)
    {
        var text = column < values.Length ? values[column] : "";
        return LengthDistribution.TryParseLength(text, out var length)
            ? length
            : throw new CliException($"{name}: line {line}: {field} is '{text}'; it must be a whole number from 1 to {LengthDistribution.Largest}.");
    }
}
