using System.Text.Json;

namespace Granary.Text.Tokenization;

/// <summary>The ids that stand before and after every text.</summary>
internal static class PostProcessor
{
    public static (int[] Prefix, int[] Suffix) Read(TokenizerJson? source)
    {
        if (source is not { } json) return ([], []);
        switch (json.Type)
        {
            case "ByteLevel":
                return ([], []); // Adjusts offsets only.
            case "Sequence":
                int[] prefix = [], suffix = [];
                foreach (var item in json.Items("processors"))
                {
                    var (before, after) = Read(item);
                    (prefix, suffix) = ([.. before, .. prefix], [.. suffix, .. after]);
                }

                return (prefix, suffix);
            case "TemplateProcessing":
                return ReadTemplate(json);
            case "BertProcessing" or "RobertaProcessing":
                return ([PairId(json.Required("cls"))], [PairId(json.Required("sep"))]);
            default:
                throw json.Bad($"has the post-processor type '{json.Type}', which is not supported");
        }
    }

    /// <summary>Follows <c>add_bos_token</c> and <c>add_eos_token</c> for the tokenizer classes that do.</summary>
    public static void Configure(TokenizerJson? config, int? bos, int? eos, ref int[] prefix, ref int[] suffix)
    {
        // Other classes carry the setting as well but leave the file's post-processor as it is.
        if (config is not { } json || json.OptionalString("tokenizer_class") is not { } name) return;
        if (!name.StartsWith("Llama", StringComparison.Ordinal) && !name.StartsWith("Gemma", StringComparison.Ordinal) && !name.StartsWith("CodeLlama", StringComparison.Ordinal)) return;

        if (bos is { } first && json.Child("add_bos_token") is not null) prefix = json.Flag("add_bos_token", true) ? [first] : [];
        if (eos is { } last && json.Child("add_eos_token") is not null) suffix = json.Flag("add_eos_token", false) ? [last] : [];
    }

    private static (int[] Prefix, int[] Suffix) ReadTemplate(TokenizerJson json)
    {
        List<int> prefix = [], suffix = [];
        var afterText = false;
        foreach (var item in json.Items("single"))
        {
            if (item.Child("Sequence") is not null)
            {
                afterText = true;
            }
            else
            {
                var name = item.Required("SpecialToken").String("id");
                var entry = json.Required("special_tokens").Required(name);
                (afterText ? suffix : prefix).AddRange(entry.Items("ids").Select(id => id.AsId()));
            }
        }

        return ([.. prefix], [.. suffix]);
    }

    private static int PairId(TokenizerJson pair) =>
        pair.Element.ValueKind == JsonValueKind.Array && pair.Element.GetArrayLength() == 2
            ? new TokenizerJson(pair.File, $"{pair.Path}[1]", pair.Element[1]).AsId()
            : throw pair.Bad("is not a token and its id");
}
