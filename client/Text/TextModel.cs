using System.Text.Json.Nodes;
using Granary.GrainInterfaces.Models;
using Granary.Text.Templates;
using Granary.Text.Tokenization;

namespace Granary.Client;

/// <summary>The text side of a served model: what turns messages into token ids and back, and its limits.</summary>
public sealed record TextModel
{
    /// <summary>Name, limits and defaults.</summary>
    public required ModelCard Card { get; init; }

    public required TextTokenizer Tokenizer { get; init; }

    /// <summary>Null for a base model, which has none.</summary>
    public required ChatTemplate? Template { get; init; }

    /// <summary>The name requests call it by.</summary>
    public string Name => Card.Name;

    /// <summary>Most tokens of prompt and answer together.</summary>
    public int ContextLength => Card.ContextLength;

    /// <summary>Names the exact weights that answer.</summary>
    public string SystemFingerprint => "fp_" + Card.Fingerprint[..Math.Min(12, Card.Fingerprint.Length)];

    /// <summary>The ids of a conversation that the assistant is to continue.</summary>
    /// <param name="messages">Objects with <c>role</c> and string <c>content</c>, and whatever else the template reads.</param>
    /// <param name="options">What else the template is given; null asks for the assistant's turn and gives nothing else.</param>
    /// <exception cref="ChatTemplateException">The template refuses these messages.</exception>
    /// <exception cref="InvalidOperationException">The model has no template.</exception>
    public int[] EncodeChat(JsonArray messages, ChatTemplateOptions? options = null)
    {
        var template = Template ?? throw new InvalidOperationException($"Model {Name} has no chat template.");
        // The template writes the special tokens itself.
        return Tokenizer.Encode(template.Render(messages, options ?? new ChatTemplateOptions { AddGenerationPrompt = true }), addSpecialTokens: false);
    }

    /// <summary>The ids of plain text, with the special tokens that the model expects around it.</summary>
    public int[] EncodeText(string text) => Tokenizer.Encode(text);
}
