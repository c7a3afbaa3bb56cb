namespace Granary.Text.Templates;

/// <summary>A chat template is malformed, went beyond a bound, or refused the conversation itself (<see cref="Raised"/>).</summary>
public sealed class ChatTemplateException : Exception
{
    private readonly string? _cause;

    public ChatTemplateException(string message) : base(message)
    {
    }

    public ChatTemplateException(string message, Exception inner) : base(message, inner)
    {
    }

    private ChatTemplateException(string message, string cause) : base(message) => _cause = cause;

    /// <summary>Whether the template's own <c>raise_exception</c> was called: the request is at fault, not the template, and the message is the template's.</summary>
    public bool Raised { get; init; }

    /// <summary>Line of the template, from 1, where it is known: of the statement that failed, or of what is malformed.</summary>
    public int? Line { get; init; }

    /// <summary>A rendering failed, at a line that <see cref="At"/> adds.</summary>
    internal static ChatTemplateException Failed(string cause) => new($"The chat template failed: {cause}.", cause);

    internal static ChatTemplateException Malformed(int line, string cause) => new($"The chat template is malformed: line {line}: {cause}.") { Line = line };

    internal ChatTemplateException At(int line) => _cause is null
        ? new ChatTemplateException(Message, this) { Raised = Raised, Line = line }
        : new ChatTemplateException($"The chat template failed: line {line}: {_cause}.", _cause) { Line = line };
}
