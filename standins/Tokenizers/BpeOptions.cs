namespace Microsoft.ML.Tokenizers;

/// <summary>What a byte-pair encoding is made of.</summary>
public sealed class BpeOptions
{
    public BpeOptions(IEnumerable<KeyValuePair<string, int>> vocabulary)
    {
        ArgumentNullException.ThrowIfNull(vocabulary);
        Vocabulary = vocabulary;
    }

    /// <summary>Every token and its id.</summary>
    public IEnumerable<KeyValuePair<string, int>> Vocabulary { get; }

    /// <summary>Pairs of tokens with a space between, the one to merge first at the front.</summary>
    public IEnumerable<string>? Merges { get; set; }

    /// <summary>Whether words are read as UTF-8 bytes, each written as one printable character.</summary>
    public bool ByteLevel { get; set; }
}
