using System.Text;
using System.Text.Json.Nodes;
using Granary.Client.Cli.CommandLine;
using Granary.Tests.Support;

namespace Granary.Tests.Client.Cli;

/// <summary>One run of the command line, in process.</summary>
internal sealed record CliRun(int ExitCode, string Output, string Error)
{
    public IReadOnlyList<string> Lines => Output.Split('\n')[..^1];

    public IReadOnlyList<JsonObject> Objects => [.. Lines.Select(line => JsonNode.Parse(line)!.AsObject())];

    public static Task<CliRun> OfAsync(string input, params string[] args) => OfAsync(Encoding.UTF8.GetBytes(input), null, args);

    /// <param name="change">What of the world is another.</param>
    public static async Task<CliRun> OfAsync(byte[] input, Func<CliContext, CliContext>? change, params string[] args)
    {
        using var output = new MemoryStream();
        using var error = new StringWriter();
        var context = new CliContext
        {
            Input = new MemoryStream(input),
            Output = output,
            Error = error,
            Time = new ManualTime(),
            Environment = _ => null,
            Http = new ScriptedServer((_, _) => throw new HttpRequestException("no server in this test")),
            OnInterrupt = _ => new MemoryStream(),
        };
        var exitCode = await GranaryCli.InvokeAsync(args, change?.Invoke(context) ?? context);
        return new CliRun(exitCode, Encoding.UTF8.GetString(output.ToArray()), error.ToString());
    }
}
