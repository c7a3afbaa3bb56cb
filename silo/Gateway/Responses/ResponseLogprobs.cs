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
            TokenText.WriteFields(json, tokenizer, id, logprobs.Chosen);
            json.WriteStartArray("top_logprobs"u8);
            for (var i = 0; i < logprobs.TopTokenIds.Length; i++)
            {
                json.WriteStartObject();
                TokenText.WriteFields(json, tokenizer, logprobs.TopTokenIds[i], logprobs.Top[i]);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
