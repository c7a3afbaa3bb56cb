using System.Text.Json;
using Granary.Client;

namespace Granary.Silo.Gateway;

/// <summary>Turns text and conversations into token ids, and ids into text, as vLLM's server does.</summary>
internal sealed class TokenEndpoints(RequestBody body, ModelField models, ConcurrencyLimit limit)
{
    private const int MaxIds = 1 << 20;

    public async Task TokenizeAsync(HttpContext context)
    {
        using var place = limit.Enter();
        Tokens tokens;
        using (var document = await body.ReadAsync(context)) tokens = ReadTokenize(models.Open(document.RootElement));
        await Json.WriteAsync(context.Response, tokens, WriteTokens);
    }

    public async Task DetokenizeAsync(HttpContext context)
    {
        using var place = limit.Enter();
        string text;
        using (var document = await body.ReadAsync(context)) text = ReadDetokenize(models.Open(document.RootElement));
        await Json.WriteAsync(context.Response, text, static (json, text) =>
        {
            json.WriteStartObject();
            json.WriteString("prompt"u8, text);
            json.WriteEndObject();
        });
    }

    /// <summary>Either a text or a conversation.</summary>
    /// <exception cref="ApiException">It is both, neither, or malformed.</exception>
    internal Tokens ReadTokenize(RequestFields fields)
    {
        var model = models.Find(fields);
        var isChat = fields.Has("messages");
        if (isChat == fields.Has("prompt")) throw ApiException.Invalid("prompt", $"prompt and messages are {(isChat ? "both there" : "missing")}; one of them must be given.");
        var ids = isChat
            ? ChatPrompt.Read(fields, model)
            : TextInputs.Encode("prompt", model, fields.GetString("prompt", int.MaxValue)!, fields.GetBoolean("add_special_tokens", true));
        var tokens = new Tokens(model, ids, fields.GetBoolean("return_token_strs", false));
        fields.RefuseUnknown();
        return tokens;
    }

    internal string ReadDetokenize(RequestFields fields)
    {
        const string Name = "tokens";
        var model = models.Find(fields);
        if (!fields.TryGet(Name, out var list)) throw fields.Missing(Name, "a list of token ids");
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() > MaxIds) throw fields.Wrong(Name, list, $"a list of at most {MaxIds} token ids");
        var ids = TokenIds.Read(Name, list, model.Card.VocabularySize);
        fields.RefuseUnknown();
        return model.Tokenizer.Decode(ids, skipSpecialTokens: false);
    }

    private static void WriteTokens(Utf8JsonWriter json, Tokens tokens)
    {
        json.WriteStartObject();
        json.WriteNumber("count"u8, tokens.Ids.Length);
        json.WriteNumber("max_model_len"u8, tokens.Model.ContextLength);
        json.WriteStartArray("tokens"u8);
        foreach (var id in tokens.Ids) json.WriteNumberValue(id);
        json.WriteEndArray();
        if (tokens.WithTexts)
        {
            json.WriteStartArray("token_strs"u8);
            foreach (var id in tokens.Ids) json.WriteStringValue(TokenText.Of(tokens.Model.Tokenizer, id));
            json.WriteEndArray();
        }
        else
        {
            json.WriteNull("token_strs"u8);
        }

        json.WriteEndObject();
    }

    /// <param name="WithTexts">Each token's text is told as well.</param>
    internal sealed record Tokens(TextModel Model, int[] Ids, bool WithTexts);
}
