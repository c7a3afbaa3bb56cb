using System.CommandLine;
using System.Text.Json.Nodes;
using Granary.Client.Cli.CommandLine;
using Granary.Text.Templates;

namespace Granary.Client.Cli.Text;

/// <summary><c>{"template","context"}</c> to <c>{"text"}</c>.</summary>
internal static class TemplateCommand
{
    public static Command Create(CliContext context)
    {
        var command = new Command("template", "JSON lines {\"template\",\"context\"} on standard input to {\"text\"} or {\"error\"} on standard output.");
        command.SetAction(async (_, cancellationToken) =>
        {
            var good = await JsonLines.AnswerAsync(
                context,
                (line, json) => json.WriteString("text"u8, JsonLines.Utf8Of(Render(JsonLines.Text(line, "template"), JsonLines.Object(line, "context"), context.Time))),
                cancellationToken: cancellationToken);
            return good ? 0 : GranaryCli.Failed;
        });
        return command;
    }

    private static string Render(string template, JsonObject variables, TimeProvider time)
    {
        try
        {
            return ChatTemplate.Parse(template, time: time).Render(variables);
        }
        catch (ChatTemplateException exception)
        {
            throw new BadLineException(exception.Message);
        }
    }
}
