using System.CommandLine;
using Granary.Engine.Onnx.Import;
using Granary.GrainInterfaces.Errors;
using Granary.Text.Templates;
using Granary.Text.Tokenization;
using Microsoft.Extensions.Options;
using Orleans.Runtime;

namespace Granary.Silo.CommandLine;

/// <summary>The command line: serve, answer one question, import a model, or plan where it would go.</summary>
internal static class GranaryCommand
{
    public const int Failed = 1;
    public const int WrongArguments = 2;

    /// <summary>The cluster cannot be formed as configured: a script that starts several silos gives up.</summary>
    public const int NoCluster = 3;

    public static async Task<int> InvokeAsync(string[] args)
    {
        var root = new RootCommand("Serves language models over an OpenAI-compatible API, or answers one question.");
        var models = new ModelOptions();
        models.AddTo(root);
        var ask = new AskOptions();
        ask.AddTo(root);
        var serve = new ServeOptions();
        serve.AddTo(root);
        root.Subcommands.Add(ImportCommand.Create());
        root.Subcommands.Add(PlanCommand.Create());
        root.SetAction((result, _) => ask.IsAsked(result)
            ? AskCommand.RunAsync(models.Read(result), ask.Read(result))
            : ServeCommand.RunAsync(models.Read(result), serve.Read(result)));

        // Text for a model is taken as it is: no @file, no bundled letters.
        var parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        if (parsed.Errors.Count > 0)
        {
            foreach (var message in parsed.Errors.Select(error => error.Message).Distinct()) await Console.Error.WriteLineAsync(message);
            await Console.Error.WriteLineAsync("Try --help.");
            return WrongArguments;
        }

        try
        {
            // The hosts handle signals themselves, and take the time a clean stop needs.
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (OrleansConfigurationException exception)
        {
            await Console.Error.WriteLineAsync(exception.Message);
            return NoCluster;
        }
        catch (Exception exception) when (IsExpected(exception))
        {
            await Console.Error.WriteLineAsync(exception.Message);
            return Failed;
        }
    }

    /// <summary>Failures that their message explains; anything else is a defect and shows where it happened.</summary>
    internal static bool IsExpected(Exception exception) =>
        exception is ModelImportException or TokenizerException or ChatTemplateException or ModelPromptException or GranaryException or OptionsValidationException or IOException or UnauthorizedAccessException
            or InvalidOperationException { InnerException: FormatException or ArgumentException };
}
