using System.Text.Json;
using Granary.Text.Tokenization;

namespace Granary.Silo.Gateway;

/// <summary>One token as log-probabilities show it.</summary>
internal static class TokenText
{
    /// <summary>JSON has no infinity; OpenAI's own stand-in for a token that cannot be.</summary>
    private const float Impossible = -9999;

    /// <summary>Its text; U+FFFD where it is part of a character.</summary>
    public static string Of(TextTokenizer tokenizer, int id) => tokenizer.Decode([id], skipSpecialTokens: false);

    public static float Finite(float logprob) => float.IsFinite(logprob) ? logprob : Impossible;

    /// <summary>The fields that chat and responses have in common: <c>token</c>, <c>logprob</c>, and <c>bytes</c>, which tell parts of a character exactly.</summary>
    public static void WriteFields(Utf8JsonWriter json, TextTokenizer tokenizer, int id, float logprob)
    {
        json.WriteString("token"u8, Of(tokenizer, id));
        json.WriteNumber("logprob"u8, Finite(logprob));
        json.WriteStartArray("bytes"u8);
        foreach (var value in tokenizer.BytesOf(id).Span) json.WriteNumberValue(value);
        json.WriteEndArray();
    }
}
