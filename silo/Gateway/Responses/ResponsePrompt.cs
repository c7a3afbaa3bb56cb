using System.Text.Json.Nodes;
using Granary.Client;
using Granary.Text.Templates;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Renders and tokenizes a conversation, without its oldest turns where it is too long and may be cut.</summary>
internal static class ResponsePrompt
{
    private const string Name = "input";

    /// <summary>What a request that bounds its answer nowhere is left of the context, when its conversation is cut.</summary>
    private const int RoomFraction = 4;

    /// <param name="model">One that has a template.</param>
    /// <param name="cut">Whether to leave out what does not fit. The cut is before a message of the user: calls stay with their outputs, answers with their questions.</param>
    /// <param name="maxOutputTokens">What has to fit besides; null where the request does not say.</param>
    /// <exception cref="ApiException">The template or the tokenizer refuses the conversation.</exception>
    public static int[] Encode(TextModel model, string? instructions, List<JsonObject> items, JsonArray? tools, bool cut, int? maxOutputTokens)
    {
        var whole = EncodeFrom(0);
        var room = Math.Min(maxOutputTokens ?? model.ContextLength / RoomFraction, model.ContextLength - 1);
        if (!cut || Fits(whole)) return whole;

        var starts = Enumerable.Range(1, items.Count - 1).Where(i => ResponseMessages.IsUserMessage(items[i])).ToArray();
        if (starts.Length == 0) return whole;
        // The longest that fits: the fewer turns, the fewer tokens. Where none does, the last turn is tried.
        var (low, high) = (0, starts.Length - 1);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (Fits(EncodeFrom(starts[middle]))) high = middle;
            else low = middle + 1;
        }

        return EncodeFrom(starts[low]);

        bool Fits(int[] ids) => ids.Length + room <= model.ContextLength;

        int[] EncodeFrom(int start)
        {
            var options = new ChatTemplateOptions { AddGenerationPrompt = true, Tools = tools };
            var text = ChatPrompt.Render(Name, model.Template!, ResponseMessages.From(instructions, items.Skip(start)), options);
            return TextInputs.Encode(Name, model, text, addSpecialTokens: false); // The template writes them itself.
        }
    }
}
