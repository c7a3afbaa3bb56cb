using System.Globalization;
using System.Text.Json;
using Granary.Client;
using Granary.GrainInterfaces;

namespace Granary.Silo.Gateway;

/// <summary>Reads how tokens are chosen: OpenAI's fields and those that vLLM adds.</summary>
internal static class SamplingFields
{
    /// <param name="maxTokens">Read by the caller, who knows the endpoint's name for it and the prompt's length.</param>
    /// <param name="topLogprobs">Null for none at all.</param>
    /// <param name="isStrict">Whether a bias that does nothing is refused where its key is no token id.</param>
    /// <exception cref="ApiException">A value is out of its bounds.</exception>
    public static SamplingOptions Read(RequestFields fields, TextModel model, int maxTokens, int? topLogprobs, bool isStrict = false)
    {
        var defaults = model.Card.Defaults;
        var vocabulary = model.Card.VocabularySize;
        return new SamplingOptions
        {
            MaxTokens = maxTokens,
            MinTokens = fields.GetInteger("min_tokens", 0, maxTokens) ?? 0,
            Temperature = fields.GetFloat("temperature", 0, GenerationLimits.MaxTemperature) ?? defaults.Temperature ?? 1,
            // vLLM writes "all" as -1 as well.
            TopK = Math.Max(0, fields.GetInteger("top_k", -1, int.MaxValue) ?? defaults.TopK ?? 0),
            TopP = fields.GetFloat("top_p", 0, 1, withoutMin: true) ?? defaults.TopP ?? 1,
            MinP = fields.GetFloat("min_p", 0, 1) ?? defaults.MinP ?? 0,
            RepetitionPenalty = fields.GetFloat("repetition_penalty", GenerationLimits.MinRepetitionPenalty, GenerationLimits.MaxRepetitionPenalty) ?? defaults.RepetitionPenalty ?? 1,
            PresencePenalty = fields.GetFloat("presence_penalty", -GenerationLimits.MaxPenalty, GenerationLimits.MaxPenalty) ?? 0,
            FrequencyPenalty = fields.GetFloat("frequency_penalty", -GenerationLimits.MaxPenalty, GenerationLimits.MaxPenalty) ?? 0,
            LogitBias = ReadLogitBias(fields, vocabulary, isStrict),
            Seed = ReadSeed(fields),
            StopTokenIds = ReadStopTokenIds(fields, vocabulary),
            IgnoreEos = fields.GetBoolean("ignore_eos", false),
            TopLogprobs = topLogprobs,
        };
    }

    /// <summary>Signed and unsigned 64-bit integers alike; a random one where nothing is said.</summary>
    private static ulong ReadSeed(RequestFields fields)
    {
        if (!fields.TryGet("seed", out var value)) return (ulong)Random.Shared.NextInt64();
        if (value.ValueKind == JsonValueKind.Number)
        {
            if (value.TryGetInt64(out var signed)) return unchecked((ulong)signed);
            if (value.TryGetUInt64(out var unsigned)) return unsigned;
        }

        throw fields.Wrong("seed", value, "an integer of 64 bits");
    }

    private static Dictionary<int, float>? ReadLogitBias(RequestFields fields, int vocabulary, bool isStrict)
    {
        const string Name = "logit_bias";
        if (!fields.TryGet(Name, out var value)) return null;
        if (value.ValueKind != JsonValueKind.Object) throw fields.Wrong(Name, value, "an object of token ids and numbers");
        var biases = new Dictionary<int, float>();
        foreach (var entry in value.EnumerateObject())
        {
            var key = ReadKey(entry);
            if (!int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var id) || id >= vocabulary)
            {
                // Nothing is lost with it, and OpenAI's own client sends such.
                if (!isStrict && entry.Value.ValueKind == JsonValueKind.Number && entry.Value.TryGetDouble(out var bias) && bias == 0) continue;
                throw ApiException.Invalid(Name, $"{Name} has a key that is not a token id; ids are 0 to {vocabulary - 1}.");
            }

            biases[id] = new RequestFields(value, Name + ".").GetFloat(key, -GenerationLimits.MaxBias, GenerationLimits.MaxBias) ?? 0;
            if (biases.Count > GenerationLimits.MaxLogitBias) throw ApiException.Invalid(Name, $"{Name} has more than {GenerationLimits.MaxLogitBias} entries.");
        }

        return biases.Count == 0 ? null : biases;
    }

    private static string ReadKey(JsonProperty entry)
    {
        try
        {
            return entry.Name;
        }
        catch (InvalidOperationException)
        {
            return ""; // Half a character: no id.
        }
    }

    private static int[]? ReadStopTokenIds(RequestFields fields, int vocabulary)
    {
        const string Name = "stop_token_ids";
        if (!fields.TryGet(Name, out var value)) return null;
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > GenerationLimits.MaxStopTokenIds)
            throw fields.Wrong(Name, value, $"a list of at most {GenerationLimits.MaxStopTokenIds} token ids");
        return TokenIds.Read(Name, value, vocabulary);
    }
}
