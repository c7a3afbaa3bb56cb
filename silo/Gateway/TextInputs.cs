using System.Text.Json;
using Granary.Client;
using Granary.Text.Tokenization;

namespace Granary.Silo.Gateway;

/// <summary>One text that a request brings.</summary>
/// <param name="Text">As it was given; null where ids were.</param>
internal sealed record TextInput(int[] Ids, string? Text)
{
    /// <summary>The text as it was given, or that of the ids.</summary>
    public string TextOf(TextModel model) => Text ?? model.Tokenizer.Decode(Ids, skipSpecialTokens: false);
}

/// <summary>Reads what OpenAI takes as text everywhere: a string, a list of strings, token ids, or a list of lists of them.</summary>
internal static class TextInputs
{
    /// <exception cref="ApiException">It is none of these, or there are too many.</exception>
    public static TextInput[] Read(RequestFields fields, string name, TextModel model, int max, bool addSpecialTokens)
    {
        if (!fields.TryGet(name, out var value)) throw fields.Missing(name, "text or token ids");
        if (value.ValueKind == JsonValueKind.String) return [ReadOne(name, name, value, model, addSpecialTokens)];
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() == 0)
            throw fields.Wrong(name, value, "a string, a list of strings, token ids, or a list of lists of token ids");
        if (value[0].ValueKind == JsonValueKind.Number) return [ReadOne(name, name, value, model, addSpecialTokens)];
        if (value.GetArrayLength() > max) throw ApiException.Invalid(name, $"{name} is a list of {value.GetArrayLength()}; at most {max} are taken.");
        return [.. value.EnumerateArray().Select((item, i) => ReadOne(name, $"{name}[{i}]", item, model, addSpecialTokens))];
    }

    /// <exception cref="ApiException">The text is longer than is tokenized.</exception>
    public static int[] Encode(string name, TextModel model, string text, bool addSpecialTokens)
    {
        try
        {
            return model.Tokenizer.Encode(text, addSpecialTokens);
        }
        catch (TokenizerException exception)
        {
            throw ApiException.Invalid(name, $"{name}: {exception.Message}");
        }
    }

    private static TextInput ReadOne(string name, string place, JsonElement value, TextModel model, bool addSpecialTokens)
    {
        TextInput input;
        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                var text = RequestText.Read(name, value);
                input = new(Encode(name, model, text, addSpecialTokens), text);
                break;
            // More ids than the context holds are refused before they are all read.
            case JsonValueKind.Array when value.GetArrayLength() > model.ContextLength:
                throw ApiException.ContextLengthExceeded(name, $"{place} has {value.GetArrayLength()} tokens; the context holds {model.ContextLength}.");
            case JsonValueKind.Array:
                input = new(TokenIds.Read(name, value, model.Card.VocabularySize), null);
                break;
            default:
                throw ApiException.Invalid(name, $"{place} is neither text nor a list of token ids.");
        }

        return input.Ids.Length > 0 ? input : throw ApiException.Invalid(name, $"{place} is empty; it must have at least one token.");
    }
}
