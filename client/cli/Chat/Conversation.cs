using System.Text;

namespace Granary.Client.Cli.Chat;

/// <summary>A conversation with a model: what was said so far goes with each question.</summary>
internal sealed class Conversation(GranaryClient client, ChatSettings settings, TimeProvider time)
{
    private readonly List<ChatTurn> _turns = [];
    private string _session = NewSession();

    /// <summary>Questions and answers so far, the system message left out.</summary>
    public IReadOnlyList<ChatTurn> Turns => _turns;

    public void Reset()
    {
        _turns.Clear();
        _session = NewSession();
    }

    /// <summary>Asks, and hands on the answer's text as it comes.</summary>
    /// <param name="cancellationToken">Ends the answer: what came is kept, and is not an error. With nothing come, the question was not asked.</param>
    /// <remarks>A failure leaves the conversation as it was before the question.</remarks>
    public async Task<ChatFigures> AskAsync(string question, Func<string, Task> write, CancellationToken cancellationToken)
    {
        var asked = new ChatTurn("user", question);
        var request = new ChatRequest
        {
            Model = settings.Model,
            Messages = [.. settings.System is { } system ? [new ChatTurn("system", system)] : Array.Empty<ChatTurn>(), .. _turns, asked],
            Settings = settings.Generation with { SessionId = _session },
        };
        var answer = new StringBuilder();
        GenerationUsage? usage = null;
        var endedEarly = false;
        var (started, first, last) = (time.GetTimestamp(), 0L, 0L);
        try
        {
            await foreach (var update in client.ChatAsync(request, cancellationToken))
            {
                usage = update.Usage ?? usage;
                if (update.Text.Length == 0) continue;
                last = time.GetTimestamp();
                if (answer.Length == 0) first = last;
                answer.Append(update.Text);
                await write(update.Text);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            endedEarly = true;
        }

        if (answer.Length > 0 || !endedEarly) _turns.AddRange([asked, new ChatTurn("assistant", answer.ToString())]);
        return new ChatFigures(answer.Length > 0 ? time.GetElapsedTime(started, first) : null, time.GetElapsedTime(first, last), usage, endedEarly);
    }

    private static string NewSession() => $"chat-{Guid.NewGuid():N}";
}
