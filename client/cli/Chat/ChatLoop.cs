using System.Text;
using Granary.Client.Cli.CommandLine;
using Granary.Client.Cli.Text;

namespace Granary.Client.Cli.Chat;

/// <summary>Reads questions and writes answers: typed by a person, piped one a line, or a single one.</summary>
internal sealed class ChatLoop(CliContext context, Conversation conversation)
{
    private const int MaxQuestionBytes = 16 * 1024 * 1024;

    /// <returns>The exit code: of a person's conversation 0, else whether all questions were answered.</returns>
    public async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        await using var lines = new LineReader(context.Input, MaxQuestionBytes);
        var failed = false;
        if (context.IsInteractive) await context.Error.WriteLineAsync("Ctrl+C ends an answer, /reset forgets what was said, /exit leaves.");
        while (true)
        {
            if (context.IsInteractive) await PromptAsync();
            if (await lines.ReadAsync(cancellationToken) is not { } line) break;
            if (line.Bytes is not { } bytes)
            {
                await context.Error.WriteLineAsync($"The question has more than {MaxQuestionBytes} bytes.");
                failed = true;
                continue;
            }

            var question = Encoding.UTF8.GetString(bytes).Trim();
            switch (question)
            {
                case "":
                    break;
                case "/exit":
                    return ExitCode();
                case "/reset":
                    conversation.Reset();
                    break;
                case ['/', ..] when context.IsInteractive && !question.Contains(' ', StringComparison.Ordinal):
                    await context.Error.WriteLineAsync($"'{question}' is no command; there are /reset and /exit.");
                    break;
                default:
                    failed |= !await TryAskAsync(question, cancellationToken);
                    break;
            }
        }

        return ExitCode();

        int ExitCode() => failed && !context.IsInteractive ? GranaryCli.Failed : 0;
    }

    /// <returns>Whether there was an answer; if not, standard error tells why.</returns>
    public async Task<bool> TryAskAsync(string question, CancellationToken cancellationToken)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var interrupt = context.OnInterrupt(() =>
        {
            enough.Cancel();
            return true;
        });
        await using var output = context.OpenText();
        var written = false;
        try
        {
            var figures = await conversation.AskAsync(question, WriteAsync, enough.Token);
            await EndLineAsync();
            await context.Error.WriteLineAsync(figures.ToString());
            return true;
        }
        catch (Exception exception) when (exception is GranaryClientException or HttpRequestException or TimeoutException or IOException)
        {
            if (written) await EndLineAsync();
            await context.Error.WriteLineAsync(exception.Message);
            return false;
        }

        async Task WriteAsync(string text)
        {
            written = true;
            await output.WriteAsync(text);
            await output.FlushAsync(CancellationToken.None);
        }

        async Task EndLineAsync()
        {
            await output.WriteLineAsync();
            await output.FlushAsync(CancellationToken.None);
        }
    }

    private async Task PromptAsync()
    {
        await context.Error.WriteAsync("> ");
        await context.Error.FlushAsync();
    }
}
