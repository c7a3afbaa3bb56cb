namespace Granary.Text.Templates;

/// <summary>A chat template is malformed, went beyond a bound, or refused the conversation itself (<see cref="Raised"/>).</summary>
public sealed class ChatTemplateException : Exception
{
    public ChatTemplateException(string message) : base(message)
    {
    }

    public ChatTemplateException(string message, Exception inner) : base(message, inner)
    {
    }

    /// <summary>Whether the template's own <c>raise_exception</c> was called: the request is at fault, not the template.</summary>
    public bool Raised { get; init; }
}
