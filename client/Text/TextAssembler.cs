using Granary.GrainInterfaces;
using Granary.Text.Tokenization;

namespace Granary.Client;

/// <summary>Turns one choice's tokens into text: whole characters only, without what ends it, cut at a stop string.</summary>
/// <param name="skipSpecialTokens">Whether special tokens stand for no text.</param>
/// <param name="includeStop">Whether the stop string or the token that ended the sequence is part of the text.</param>
public sealed class TextAssembler(TextTokenizer tokenizer, IReadOnlyList<string> stops, bool skipSpecialTokens = true, bool includeStop = false)
{
    private readonly Detokenizer _detokenizer = tokenizer.CreateDetokenizer(skipSpecialTokens);
    private readonly StopStringMatcher? _matcher = stops.Count == 0 ? null : new StopStringMatcher(stops);

    /// <summary>Tokens so far, up to and including the one that completed a stop.</summary>
    public int GeneratedTokens { get; private set; }

    /// <summary>Prompt tokens found in the cache.</summary>
    public int CachedPromptTokens { get; private set; }

    /// <summary>Set once nothing more is to be read.</summary>
    public FinishReason? FinishReason { get; private set; }

    /// <summary>Takes the next chunk; returns the text that is now certain, often empty.</summary>
    public string Append(in TokenChunk chunk)
    {
        CachedPromptTokens = chunk.CachedPromptTokens;
        var text = "";
        if (chunk.TokenId >= 0)
        {
            GeneratedTokens++;
            // A token that ended the sequence is not text unless asked for, whether or not the tokenizer calls it special.
            if ((includeStop || chunk.FinishReason != GrainInterfaces.FinishReason.Stop) && Match(_detokenizer.Append(chunk.TokenId), out text)) return text;
        }

        if (chunk.FinishReason is not { } reason) return text;
        FinishReason = reason;
        // The rest can complete a stop string that the last whole characters did not.
        if (Match(_detokenizer.Flush(), out var rest)) return text + rest;
        return text + rest + _matcher?.Flush();
    }

    private bool Match(string delta, out string text)
    {
        text = delta;
        if (_matcher is null || delta.Length == 0) return false;
        text = _matcher.Append(delta, out var stopped);
        if (!stopped) return false;
        FinishReason = GrainInterfaces.FinishReason.Stop;
        if (includeStop) text += _matcher.Stop;
        return true;
    }
}
