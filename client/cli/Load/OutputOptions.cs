using System.CommandLine;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Load;

/// <summary>Where a result is written to, besides the table.</summary>
internal sealed class OutputOptions
{
    private readonly Option<string?> _json = new("--json") { Description = "Write settings, seed and figures to this file.", HelpName = "FILE" };
    private readonly Option<bool> _rows = new("--rows") { Description = "With --json: every request's figures too." };
    private readonly Option<string?> _plot = new("--plot") { Description = "Draw the three latencies to this SVG file.", HelpName = "FILE.svg" };

    public void AddTo(Command command)
    {
        command.Options.Add(_json);
        command.Options.Add(_rows);
        command.Options.Add(_plot);
        command.Validators.Add(result =>
        {
            if (result.GetValue(_rows) && result.GetValue(_json) is null) result.AddError("--rows goes with --json.");
        });
    }

    public OutputFiles Read(ParseResult result) => new(result.GetValue(_json), result.GetValue(_plot), result.GetValue(_rows));
}

/// <param name="Json">Null for none.</param>
/// <param name="Plot">Null for none.</param>
internal sealed record OutputFiles(string? Json, string? Plot, bool Rows)
{
    /// <summary>Before the run, so that it is not made in vain.</summary>
    /// <exception cref="CliException">A file could not be written.</exception>
    public void Check()
    {
        foreach (var (option, path) in new[] { ("--json", Json), ("--plot", Plot) })
        {
            if (path is null) continue;
            if (path.Length == 0 || Directory.Exists(path)) throw new CliException($"{option} is '{path}'; it must be a file's path.");
            if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder && !Directory.Exists(folder)) throw new CliException($"{option} is '{path}'; its folder does not exist.");
        }
    }

    public void Write(LoadResult result)
    {
        if (Json is not null)
        {
            using var file = File.Create(Json);
            LoadJson.Write(file, result);
        }

        if (Plot is not null) File.WriteAllText(Plot, LoadPlot.Draw(result));
    }
}
