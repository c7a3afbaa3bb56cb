using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Models;

/// <summary>Lists what a server serves.</summary>
internal static class ModelsCommand
{
    public static Command Create(CliContext context)
    {
        var connection = new ConnectionOptions();
        var asJson = new Option<bool>("--json") { Description = "An array of JSON instead of a table." };
        var command = new Command("models", "Lists the models that a server serves.");
        connection.AddTo(command);
        command.Options.Add(asJson);
        command.SetAction(async (result, cancellationToken) =>
        {
            await using var client = connection.Connect(result, context);
            var models = await client.GetModelsAsync(cancellationToken);
            if (result.GetValue(asJson))
                WriteJson(context.Output, models);
            else
                await WriteTableAsync(context, models);
            return 0;
        });
        return command;
    }

    private static void WriteJson(Stream output, IReadOnlyList<ModelInfo> models)
    {
        using (var json = new Utf8JsonWriter(output))
        {
            json.WriteStartArray();
            foreach (var model in models)
            {
                json.WriteStartObject();
                json.WriteString("name"u8, model.Name);
                json.WriteNumber("context_length"u8, model.ContextLength);
                json.WriteString("created"u8, model.Created);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        output.WriteByte((byte)'\n');
    }

    private static async Task WriteTableAsync(CliContext context, IReadOnlyList<ModelInfo> models)
    {
        await using var output = context.OpenText();
        var width = models.Select(model => model.Name.Length).Append("NAME".Length).Max();
        await output.WriteLineAsync($"{"NAME".PadRight(width)}  {"CONTEXT",8}  CREATED");
        foreach (var model in models)
            await output.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"{model.Name.PadRight(width)}  {(model.ContextLength > 0 ? (object)model.ContextLength : "–"),8}  {model.Created.UtcDateTime:yyyy-MM-dd HH:mm}"));
    }
}
