using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Granary.GrainInterfaces;
using Granary.Silo.Gateway;

namespace Granary.Silo.CommandLine;

/// <summary>What <c>--ask</c> tells of an answer.</summary>
/// <param name="FirstToken">From asking to the first token; null where there was none.</param>
/// <param name="TokensPerSecond">Of the tokens after the first; null where there was at most one.</param>
internal sealed record Answer(
    string Text, int[] TokenIds, int[] PromptTokenIds, string FinishReason, int CachedPromptTokens, SamplingOptions Sampling,
    TimeSpan? FirstToken, double? TokensPerSecond)
{
    /// <summary>One line.</summary>
    public string ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Gateway.Json.WriterOptions))
        {
            json.WriteStartObject();
            json.WriteString("text"u8, Text);
            WriteIds(json, "token_ids"u8, TokenIds);
            WriteIds(json, "prompt_token_ids"u8, PromptTokenIds);
            json.WriteString("finish_reason"u8, FinishReason);
            ResponseShape.WriteUsage(json, new Usage(PromptTokenIds.Length, CachedPromptTokens, TokenIds.Length));
            WriteNumber(json, "ttft_ms"u8, FirstToken?.TotalMilliseconds);
            WriteNumber(json, "tokens_per_s"u8, TokensPerSecond);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>One line for people.</summary>
    public string ToFigures()
    {
        var figures = string.Create(
            CultureInfo.InvariantCulture,
            $"{PromptTokenIds.Length} prompt tokens, {CachedPromptTokens} cached, {TokenIds.Length} generated, first after {FirstToken?.TotalMilliseconds ?? 0:0.0} ms, {TokensPerSecond ?? 0:0.0} tokens/s");
        return Sampling.Temperature > 0 ? string.Create(CultureInfo.InvariantCulture, $"{figures}, seed {Sampling.Seed}") : figures;
    }

    private static void WriteIds(Utf8JsonWriter json, ReadOnlySpan<byte> name, int[] ids)
    {
        json.WriteStartArray(name);
        foreach (var id in ids) json.WriteNumberValue(id);
        json.WriteEndArray();
    }

    private static void WriteNumber(Utf8JsonWriter json, ReadOnlySpan<byte> name, double? value)
    {
        if (value is { } number)
            json.WriteNumber(name, Math.Round(number, 3));
        else
            json.WriteNull(name);
    }
}
