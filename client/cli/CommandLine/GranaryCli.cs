using System.CommandLine;
using Granary.Client.Cli.Chat;
using Granary.Client.Cli.Load;
using Granary.Client.Cli.Models;
using Granary.Client.Cli.Text;
using Granary.Client.Cli.Topology;
using Granary.Text.Tokenization;

namespace Granary.Client.Cli.CommandLine;

/// <summary>The command line: one subcommand each for what the SDK does.</summary>
internal static class GranaryCli
{
    public const int Failed = 1;
    public const int WrongArguments = 2;

    public static async Task<int> InvokeAsync(string[] args, CliContext context)
    {
        var root = new RootCommand("Talks to a Granary cluster, or to any server of the OpenAI API.");
        root.Subcommands.Add(ChatCommand.Create(context));
        root.Subcommands.Add(ModelsCommand.Create(context));
        root.Subcommands.Add(TopologyCommand.Create(context));
        root.Subcommands.Add(LoadCommand.Create(context));
        root.Subcommands.Add(TokenizeCommand.Create(context));
        root.Subcommands.Add(TemplateCommand.Create(context));
        root.SetAction(_ =>
        {
            context.Error.WriteLine("Name a command; try --help.");
            return WrongArguments;
        });

        // Text for a model is taken as it is: no @file, no bundled letters.
        var parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        if (parsed.Errors.Count > 0)
        {
            foreach (var message in parsed.Errors.Select(error => error.Message).Distinct()) await context.Error.WriteLineAsync(message);
            await context.Error.WriteLineAsync("Try --help.");
            return WrongArguments;
        }

        await using var output = context.OpenText();
        try
        {
            // Commands handle Ctrl+C themselves where they do, and take the time a clean stop needs.
            return await parsed.InvokeAsync(
                new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null, Output = output, Error = context.Error });
        }
        catch (Exception exception) when (IsExpected(exception))
        {
            await context.Error.WriteLineAsync(exception.Message);
            return Failed;
        }
    }

    /// <summary>Failures that their message explains; anything else is a defect and shows where it happened.</summary>
    private static bool IsExpected(Exception exception) =>
        exception is CliException or GranaryClientException or TokenizerException or HttpRequestException or TimeoutException or IOException or UnauthorizedAccessException;
}
