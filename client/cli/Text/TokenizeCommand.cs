using System.CommandLine;
using Granary.Client.Cli.CommandLine;
using Granary.Text.Tokenization;

namespace Granary.Client.Cli.Text;

/// <summary><c>{"text"}</c> to <c>{"ids","decoded"}</c>, with the tokenizer of a folder.</summary>
internal static class TokenizeCommand
{
    public static Command Create(CliContext context)
    {
        var directory = new Option<string>("--tokenizer") { Description = "A folder with tokenizer.json, or with vocab.json and merges.txt.", HelpName = "DIR", Required = true };
        var plain = new Option<bool>("--no-special") { Description = "Do not add what the model expects around a text, such as the token that begins it." };
        var command = new Command("tokenize", "JSON lines {\"text\"} on standard input to {\"ids\",\"decoded\"} or {\"error\"} on standard output.") { directory, plain };
        command.SetAction((result, cancellationToken) => RunAsync(context, result.GetRequiredValue(directory), !result.GetValue(plain), cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(CliContext context, string directory, bool addSpecialTokens, CancellationToken cancellationToken)
    {
        if (!Directory.Exists(directory)) throw new CliException($"--tokenizer is '{directory}'; there is no such folder.");
        var tokenizer = TextTokenizer.Load(directory);
        var good = await JsonLines.AnswerAsync(
            context,
            (line, json) =>
            {
                var ids = Encode(tokenizer, JsonLines.Text(line, "text"), addSpecialTokens);
                json.WriteStartArray("ids"u8);
                foreach (var id in ids) json.WriteNumberValue(id);
                json.WriteEndArray();
                json.WriteString("decoded"u8, tokenizer.Decode(ids, skipSpecialTokens: false));
            },
            cancellationToken: cancellationToken);
        return good ? 0 : GranaryCli.Failed;
    }

    private static int[] Encode(TextTokenizer tokenizer, string text, bool addSpecialTokens)
    {
        try
        {
            return tokenizer.Encode(text, addSpecialTokens);
        }
        catch (TokenizerException exception)
        {
            throw new BadLineException(exception.Message);
        }
    }
}
