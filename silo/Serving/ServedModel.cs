using System.Text.Json.Nodes;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Templates;
using Granary.Engine.Onnx.Tokenization;

namespace Granary.Silo.Serving;

/// <summary>The text side of a served model: what turns messages into token ids and back, and its limits.</summary>
internal sealed record ServedModel
{
    /// <summary>The name requests call it by.</summary>
    public required string Name { get; init; }

    public required ModelDescription Description { get; init; }

    public required TextTokenizer Tokenizer { get; init; }

    /// <summary>Null for a base model, which has none.</summary>
    public required ChatTemplate? Template { get; init; }

    /// <summary>Most tokens of prompt and answer together.</summary>
    public required int ContextLength { get; init; }

    /// <summary>When its files were made.</summary>
    public required DateTimeOffset Created { get; init; }

    /// <summary>Names the exact weights that answer.</summary>
    public string SystemFingerprint => "fp_" + Description.Fingerprint[..Math.Min(12, Description.Fingerprint.Length)];

    /// <summary>The ids of a conversation that the assistant is to continue.</summary>
    /// <param name="messages">Objects with <c>role</c> and string <c>content</c>.</param>
    /// <exception cref="ChatTemplateException">The template refuses these messages.</exception>
    /// <exception cref="InvalidOperationException">The model has no template.</exception>
    public int[] EncodeChat(JsonArray messages)
    {
        var template = Template ?? throw new InvalidOperationException($"Model {Name} has no chat template.");
        // The template writes the special tokens itself.
        return Tokenizer.Encode(template.Render(messages, new ChatTemplateOptions { AddGenerationPrompt = true }), addSpecialTokens: false);
    }

    /// <summary>The ids of plain text, with the special tokens that the model expects around it.</summary>
    public int[] EncodeText(string text) => Tokenizer.Encode(text);
}
