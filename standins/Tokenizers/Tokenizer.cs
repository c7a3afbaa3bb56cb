namespace Microsoft.ML.Tokenizers;

/// <summary>Text to ids.</summary>
public abstract class Tokenizer
{
    /// <param name="considerPreTokenization">Whether to cut the text into words first; only false is supported here.</param>
    /// <param name="considerNormalization">Whether to normalize the text first; there is never a normalizer here.</param>
    /// <exception cref="NotSupportedException"><paramref name="considerPreTokenization"/> is true.</exception>
    public IReadOnlyList<int> EncodeToIds(ReadOnlySpan<char> text, bool considerPreTokenization = true, bool considerNormalization = true)
    {
        if (considerPreTokenization) throw new NotSupportedException("The stand-in encodes single words: pass considerPreTokenization: false.");
        return EncodeWord(text);
    }

    private protected abstract List<int> EncodeWord(ReadOnlySpan<char> word);
}
