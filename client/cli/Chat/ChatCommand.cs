using System.CommandLine;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Chat;

/// <summary>Talks with a model.</summary>
internal static class ChatCommand
{
    public static Command Create(CliContext context)
    {
        var connection = new ConnectionOptions();
        var model = new Option<string?>("--model") { Description = "Default: the one that the server serves.", HelpName = "NAME" };
        var system = new Option<string?>("--system") { Description = "What the model is told before the conversation.", HelpName = "TEXT" };
        var once = new Option<string?>("--once") { Description = "Ask this alone, and exit.", HelpName = "TEXT" };
        var temperature = Values.Number("--temperature", "0 (greedy) to 2. Default: the model's own.", "T", 0, 2);
        var topP = Values.Number("--top-p", "Above 0, up to 1. Default: the model's own.", "P", 1e-6, 1);
        var maxTokens = Values.Integer("--max-tokens", "Most tokens of an answer. Default: what the context leaves.", 1, int.MaxValue);
        var seed = Values.Long("--seed", "Determines every draw.");
        var timeout = Values.Number("--timeout", "Seconds an answer may take. Default 600.", "S", 0.001, 86_400);
        var command = new Command("chat", "Talks with a model: typed, one question a line from a pipe, or a single one.");
        connection.AddTo(command);
        foreach (var option in (ReadOnlySpan<Option>)[model, system, once, temperature, topP, maxTokens, seed, timeout]) command.Options.Add(option);
        command.Validators.Add(result =>
        {
            if (result.GetResult(once) is { Implicit: false, Tokens: [{ Value: "" }] }) result.AddError("--once is empty; it must be text.");
        });
        command.SetAction(async (result, cancellationToken) =>
        {
            TimeSpan? limit = result.GetValue(timeout) is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
            await using var client = connection.Connect(result, context, limit);
            var generation = new GenerationSettings
            {
                Temperature = (float?)result.GetValue(temperature),
                TopP = (float?)result.GetValue(topP),
                MaxTokens = result.GetValue(maxTokens),
                Seed = result.GetValue(seed),
            };
            var conversation = new Conversation(client, new ChatSettings(result.GetValue(model), result.GetValue(system), generation), context.Time);
            var loop = new ChatLoop(context, conversation);
            if (result.GetValue(once) is { } question) return await loop.TryAskAsync(question, cancellationToken) ? 0 : GranaryCli.Failed;
            return await loop.RunAsync(cancellationToken);
        });
        return command;
    }
}
