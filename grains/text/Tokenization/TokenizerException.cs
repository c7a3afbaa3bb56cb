namespace Granary.Text.Tokenization;

/// <summary>A tokenizer file is bad or unsupported, or a text is beyond the tokenizer's bounds.</summary>
/// <remarks>The message names the file and the field, or the bound; it never carries the text that was encoded.</remarks>
public sealed class TokenizerException : Exception
{
    public TokenizerException(string message) : base(message)
    {
    }

    public TokenizerException(string message, Exception inner) : base(message, inner)
    {
    }
}
