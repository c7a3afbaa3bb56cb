using Granary.Client;

namespace Granary.Silo.Gateway;

/// <summary>Reads how many tokens to generate, within the room that a prompt leaves in the context.</summary>
/// <param name="Name">The field that says it.</param>
/// <param name="Fallback">Tokens where it does not; null takes all the room.</param>
/// <param name="AllowsNone">Whether 0 is an answer.</param>
internal readonly record struct LengthFields(string Name, string PromptName, int? Fallback, bool AllowsNone)
{
    /// <exception cref="ApiException">The context is exceeded, or the number is out of its bounds.</exception>
    public int Read(RequestFields fields, TextModel model, int promptTokens)
    {
        var context = model.ContextLength;
        var room = context - promptTokens;
        var asked = fields.GetInteger(Name, AllowsNone ? 0 : 1, int.MaxValue);
        if (room < (asked == 0 ? 0 : 1))
        {
            throw ApiException.ContextLengthExceeded(
                PromptName, $"{PromptName} has {promptTokens} tokens; with at least one to generate, the context of {context} tokens is exceeded.");
        }

        if (asked is null) return Math.Min(Fallback ?? room, room);
        return asked <= room
            ? asked.Value
            : throw ApiException.ContextLengthExceeded(
                Name, $"{Name} is {asked}; with {promptTokens} prompt tokens at most {room} fit into the context of {context} tokens.");
    }
}
