using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>How tokens become text again: the decoder chain of the file, brought into one form that can run token by token.</summary>
/// <remarks>
/// Token steps (byte-level table, replacements, byte tokens) come first, then at most a strip of the joined text.
/// Bytes that are no UTF-8 become U+FFFD as they are found, so what was decoded never changes with what follows.
/// </remarks>
internal sealed class TokenDecoder
{
    private readonly List<Func<string, string>> _steps = [];

    /// <summary>Every token is a run of bytes in GPT-2's table.</summary>
    public bool ByteLevel { get; private set; }

    /// <summary>Tokens like <c>&lt;0x0A&gt;</c> are single bytes.</summary>
    public bool ByteFallback { get; private set; }

    /// <summary>Set where marks of the very first token are dropped, not turned into spaces.</summary>
    public char? DroppedFromFirst { get; private set; }

    public char StripChar { get; private set; }
    public int StripStart { get; private set; }
    public int StripStop { get; private set; }

    /// <summary>Text between tokens; a file without decoder joins them with a space.</summary>
    public string Separator { get; private set; } = "";

    private bool _fused;

    public static TokenDecoder Read(TokenizerJson? source)
    {
        var decoder = new TokenDecoder();
        if (source is { } json) decoder.Add(json);
        else decoder.Separator = " ";
        return decoder;
    }

    public static TokenDecoder ForByteLevel() => new() { ByteLevel = true };

    /// <summary>The bytes one token stands for; <paramref name="raw"/>: they may be part of a character.</summary>
    public byte[] BytesOf(string token, bool first, out bool raw)
    {
        raw = ByteLevel;
        if (ByteLevel) return ByteLevelBytes(token);

        if (first && DroppedFromFirst is { } mark) token = token.Replace(mark.ToString(), "", StringComparison.Ordinal);
        foreach (var step in _steps) token = step(token);
        if (ByteFallback && token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && char.IsAsciiHexDigit(token[3]) && char.IsAsciiHexDigit(token[4]))
        {
            raw = true;
            return Convert.FromHexString(token.AsSpan(3, 2));
        }

        return Encoding.UTF8.GetBytes(token);
    }

    private static byte[] ByteLevelBytes(string token)
    {
        var bytes = new byte[token.Length];
        for (var index = 0; index < token.Length; index++)
        {
            // An added token is written as itself, not in the table.
            if (!ByteLevelAlphabet.TryToByte(token[index], out bytes[index])) return Encoding.UTF8.GetBytes(token);
        }

        return bytes;
    }

    private void Add(TokenizerJson json)
    {
        switch (json.Type)
        {
            case "Sequence":
                foreach (var item in json.Items("decoders")) Add(item);
                break;
            case "ByteLevel":
                if (_steps.Count > 0) throw json.Bad("stands after other steps, which is not supported");
                ByteLevel = true;
                _fused = true;
                break;
            case "ByteFallback":
                ByteFallback = true;
                break;
            case "Fuse":
                _fused = true;
                break;
            case "Replace":
                if (_fused) throw json.Bad("replaces in the joined text, which is not supported");
                var pattern = TokenizerPattern.Read(json.Required("pattern"));
                var content = json.String("content");
                _steps.Add(token => pattern.Replace(token, content));
                break;
            case "Metaspace":
                var mark = json.OptionalString("replacement") ?? "\u2581";
                if (mark.Length != 1) throw json.Bad("has a replacement that is not one character");
                var scheme = json.OptionalString("prepend_scheme") ?? (json.Flag("add_prefix_space", true) ? "always" : "never");
                if (scheme != "never") DroppedFromFirst = mark[0];
                _steps.Add(token => token.Replace(mark[0], ' '));
                break;
            case "Strip":
                AddStrip(json);
                break;
            default:
                throw json.Bad($"has the decoder type '{json.Type}', which is not supported");
        }
    }

    private void AddStrip(TokenizerJson json)
    {
        var content = json.String("content");
        if (content.Length != 1) throw json.Bad("strips what is not one character");
        var (start, stop) = (json.Int("start"), json.Int("stop"));
        if (_fused)
        {
            if (StripStart + StripStop > 0) throw json.Bad("strips the joined text a second time, which is not supported");
            (StripChar, StripStart, StripStop) = (content[0], start, stop);
            return;
        }

        _steps.Add(token =>
        {
            var from = 0;
            while (from < start && from < token.Length && token[from] == content[0]) from++;
            var to = token.Length;
            while (token.Length - to < stop && to > from && token[to - 1] == content[0]) to--;
            return token[from..to];
        });
    }
}
