using System.Text.Json;
using Granary.GrainInterfaces;
using Granary.Text.Tokenization;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Writes tokens' log-probabilities as the Responses API has them; events and items share the form.</summary>
internal static class ResponseLogprobs
{
    public static void Write(Utf8JsonWriter json, TextTokenizer tokenizer, IReadOnlyList<(int TokenId, TokenLogprobs Logprobs)> tokens)
    {
        json.WriteStartArray("logprobs"u8);
        foreach (var (id, logprobs) in tokens)
        {
            json.WriteStartObject();
            WriteToken(json, tokenizer, id, logprobs.Chosen);
            json.WriteStartArray("top_logprobs"u8);
            for (var i = 0; i < logprobs.TopTokenIds.Length; i++)
            {
                json.WriteStartObject();
                WriteToken(json, tokenizer, logprobs.TopTokenIds[i], logprobs.Top[i]);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteToken(Utf8JsonWriter json, TextTokenizer tokenizer, int id, float logprob)
    {
        json.WriteString("token"u8, TokenText.Of(tokenizer, id).Text);
        json.WriteNumber("logprob"u8, TokenText.Finite(logprob));
        json.WriteStartArray("bytes"u8);
        foreach (var value in tokenizer.BytesOf(id).Span) json.WriteNumberValue(value);
        json.WriteEndArray();
    }
}
