using System.Text.Json;
using Granary.Client;
using Granary.Text.Tokenization;

namespace Granary.Silo.Gateway;

/// <summary>Reads <c>prompt</c>: a string, a list of strings, token ids, or a list of lists of them.</summary>
internal static class CompletionPrompts
{
    private const string Name = "prompt";

    /// <exception cref="ApiException">It is none of these, or there are too many.</exception>
    public static int[][] Read(RequestFields fields, TextModel model, int maxPrompts)
    {
        if (!fields.TryGet(Name, out var value)) throw ApiException.Invalid(Name, $"{Name} is missing; it must be text or token ids.");
        if (value.ValueKind == JsonValueKind.String) return [ReadOne(Name, value, model)];
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() == 0)
            throw fields.Wrong(Name, value, "a string, a list of strings, token ids, or a list of lists of token ids");
        if (value[0].ValueKind == JsonValueKind.Number) return [ReadOne(Name, value, model)];
        if (value.GetArrayLength() > maxPrompts) throw ApiException.Invalid(Name, $"{Name} is a list of {value.GetArrayLength()}; at most {maxPrompts} prompts are taken.");
        return [.. value.EnumerateArray().Select((prompt, i) => ReadOne($"{Name}[{i}]", prompt, model))];
    }

    private static int[] EncodeText(TextModel model, string text)
    {
        try
        {
            return model.EncodeText(text);
        }
        catch (TokenizerException exception)
        {
            throw ApiException.Invalid(Name, exception.Message);
        }
    }

    private static int[] ReadOne(string place, JsonElement value, TextModel model)
    {
        var ids = value.ValueKind switch
        {
            JsonValueKind.String => EncodeText(model, RequestText.Read(Name, value)),
            // More ids than the context holds are refused before they are all read.
            JsonValueKind.Array when value.GetArrayLength() > model.ContextLength => throw ApiException.ContextLengthExceeded(
                Name, $"{place} has {value.GetArrayLength()} tokens; the context holds {model.ContextLength}."),
            JsonValueKind.Array => TokenIds.Read(Name, value, model.Card.VocabularySize),
            _ => throw ApiException.Invalid(Name, $"{place} is neither text nor a list of token ids."),
        };
        return ids.Length > 0 ? ids : throw ApiException.Invalid(Name, $"{place} is empty; it must have at least one token.");
    }
}
