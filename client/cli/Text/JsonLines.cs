using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Unicode;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Text;

/// <summary>A line cannot be answered; the message says why.</summary>
internal sealed class BadLineException(string message) : Exception(message);

/// <summary>Answers JSON objects, one a line: as many lines out as in, in their order, each flushed.</summary>
internal static class JsonLines
{
    /// <summary>The longest text that is encoded, escaped throughout, and some.</summary>
    public const int MaxLineBytes = 128 * 1024 * 1024;

    private const int MaxDepth = 128;

    // Not for HTML: text stays legible, and only what JSON asks for is escaped.
    private static readonly JsonWriterOptions Writing = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonDocumentOptions Reading = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    /// <summary>Has <paramref name="answer"/> write the members of each line's answer; a line that it refuses is answered by <c>{"error"}</c>.</summary>
    /// <param name="maxLineBytes">Longest line.</param>
    /// <returns>Whether no line was refused.</returns>
    public static async Task<bool> AnswerAsync(
        CliContext context, Action<JsonObject, Utf8JsonWriter> answer, int maxLineBytes = MaxLineBytes, CancellationToken cancellationToken = default)
    {
        await using var lines = new LineReader(context.Input, maxLineBytes);
        using var buffer = new MemoryStream();
        using var json = new Utf8JsonWriter(buffer, Writing);
        var good = true;
        while (await lines.ReadAsync(cancellationToken) is { } line)
        {
            buffer.SetLength(0);
            json.Reset();
            try
            {
                var request = Parse(line.Bytes ?? throw new BadLineException($"The line has more than {maxLineBytes} bytes."));
                json.WriteStartObject();
                answer(request, json);
            }
            catch (BadLineException exception)
            {
                good = false;
                json.Reset();
                buffer.SetLength(0);
                json.WriteStartObject();
                json.WriteString("error"u8, Utf8Of(exception.Message));
            }

            json.WriteEndObject();
            json.Flush();
            buffer.WriteByte((byte)'\n');
            await context.Output.WriteAsync(buffer.GetBuffer().AsMemory(0, (int)buffer.Length), cancellationToken);
            await context.Output.FlushAsync(cancellationToken);
        }

        return good;
    }

    public static string Text(JsonObject line, string field) => line[field] switch
    {
        null => throw new BadLineException($"Field '{field}' is missing; it must be a string."),
        { } value when value.GetValueKind() == JsonValueKind.String => value.GetValue<string>(),
        var value => throw new BadLineException($"Field '{field}' is {Kind(value)}; it must be a string."),
    };

    public static JsonObject Object(JsonObject line, string field) => line[field] switch
    {
        null => throw new BadLineException($"Field '{field}' is missing; it must be an object."),
        JsonObject value => value,
        var value => throw new BadLineException($"Field '{field}' is {Kind(value)}; it must be an object."),
    };

    /// <summary>A template can cut a surrogate pair in two; half of one becomes U+FFFD, as the JSON writer would refuse it.</summary>
    public static byte[] Utf8Of(string text) => Encoding.UTF8.GetBytes(text);

    private static JsonObject Parse(byte[] line)
    {
        try
        {
            CheckText(line);
            return JsonNode.Parse(line, documentOptions: Reading) as JsonObject ?? throw new BadLineException("The line is not a JSON object.");
        }
        catch (JsonException exception)
        {
            throw new BadLineException($"The line is not valid JSON: {exception.Message}");
        }
    }

    /// <summary>The parser looks at strings only when they are read; what cannot be read is refused here.</summary>
    private static void CheckText(byte[] line)
    {
        if (!Utf8.IsValid(line)) throw new BadLineException("The line is not valid UTF-8.");
        var reader = new Utf8JsonReader(line, new JsonReaderOptions { MaxDepth = MaxDepth });
        while (reader.Read())
        {
            if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.PropertyName) || !reader.ValueIsEscaped) continue;
            try
            {
                reader.GetString();
            }
            catch (InvalidOperationException)
            {
                throw new BadLineException($"The string at byte {reader.TokenStartIndex} of the line has half of a surrogate pair.");
            }
        }
    }

    private static string Kind(JsonNode value) => value.GetValueKind() switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.Number => "a number",
        JsonValueKind.String => "a string",
        _ => value.ToJsonString(),
    };
}
