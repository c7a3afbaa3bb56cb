using System.Text;

namespace Granary.Text.Templates;

/// <summary>Cuts a template into tokens, with white-space control as chat templates use it (trim_blocks and lstrip_blocks on).</summary>
internal sealed class TemplateLexer
{
    private static readonly string[] Operators =
        ["**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", ";"];

    private readonly string _source;
    private readonly List<Token> _tokens = [];
    private int _position;
    private int _line = 1;
    private bool _lineStarts = true; // Nothing but line ends since the start of this line.

    private TemplateLexer(string source) => _source = source;

    /// <exception cref="ChatTemplateException">A tag, comment or string is not closed, or a character has no meaning.</exception>
    public static List<Token> Lex(string source)
    {
        if (source.Length > TemplateLimits.MaxSourceLength)
        {
            throw new ChatTemplateException($"The template has {source.Length} chars; at most {TemplateLimits.MaxSourceLength} are read.");
        }

        source = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        if (source.EndsWith('\n')) source = source[..^1];
        var lexer = new TemplateLexer(source);
        lexer.Run();
        return lexer._tokens;
    }

    private void Run()
    {
        while (_position < _source.Length)
        {
            var open = NextTag(_position);
            if (open < 0)
            {
                Text(_source[_position..]);
                _position = _source.Length;
                break;
            }

            var kind = _source[open + 1];
            var sign = open + 2 < _source.Length ? _source[open + 2] : '\0';
            var text = _source[_position..open];
            if (sign == '-') text = text.TrimEnd();
            else if (sign != '+' && kind != '{') text = StripLine(text);
            Text(text);
            Advance(open + (sign is '-' or '+' && !(sign == '+' && kind == '{') ? 3 : 2));

            if (kind == '#') Comment();
            else if (kind == '%' && TryRaw()) continue;
            else Tag(kind);
        }

        Add(TokenKind.End, "");
    }

    private int NextTag(int from)
    {
        for (var index = from; (index = _source.IndexOf('{', index)) >= 0 && index + 1 < _source.Length; index++)
        {
            if (_source[index + 1] is '{' or '%' or '#') return index;
        }

        return -1;
    }

    /// <summary>lstrip_blocks: blanks before a block go when nothing else stands before it on its line.</summary>
    private string StripLine(string text)
    {
        var start = text.LastIndexOf('\n') + 1;
        return (start > 0 || _lineStarts) && text.AsSpan(start).IsWhiteSpace() ? text[..start] : text;
    }

    private void Text(string text)
    {
        if (text.Length > 0) Add(TokenKind.Text, text);
    }

    private void Comment()
    {
        var close = _source.IndexOf("#}", _position, StringComparison.Ordinal);
        if (close < 0) throw Bad("a comment is not closed");
        var strips = close > _position && _source[close - 1] == '-';
        var keeps = close > _position && _source[close - 1] == '+';
        Advance(close + 2);
        AfterTag(strips, trims: !keeps);
    }

    private void AfterTag(bool strips, bool trims)
    {
        var start = _position;
        if (strips)
        {
            while (_position < _source.Length && char.IsWhiteSpace(_source[_position])) Advance(_position + 1);
        }
        else if (trims && _position < _source.Length && _source[_position] == '\n')
        {
            Advance(_position + 1);
        }

        _lineStarts = _position > start && _source[_position - 1] == '\n';
    }

    private bool TryRaw()
    {
        var position = SkipBlanks(_position);
        if (string.CompareOrdinal(_source, position, "raw", 0, 3) != 0) return false;
        position = SkipBlanks(position + 3);
        var strips = position < _source.Length && _source[position] == '-';
        if (strips) position++;
        if (string.CompareOrdinal(_source, position, "%}", 0, 2) != 0) return false;
        Advance(position + 2);
        AfterTag(strips, trims: true);

        for (var open = _position; (open = _source.IndexOf("{%", open, StringComparison.Ordinal)) >= 0; open += 2)
        {
            var inner = open + 2;
            var stripsBefore = inner < _source.Length && _source[inner] == '-';
            if (stripsBefore || (inner < _source.Length && _source[inner] == '+')) inner++;
            inner = SkipBlanks(inner);
            if (string.CompareOrdinal(_source, inner, "endraw", 0, 6) != 0) continue;
            inner = SkipBlanks(inner + 6);
            var stripsAfter = inner < _source.Length && _source[inner] == '-';
            if (stripsAfter) inner++;
            if (string.CompareOrdinal(_source, inner, "%}", 0, 2) != 0) continue;

            var text = _source[_position..open];
            Text(stripsBefore ? text.TrimEnd() : StripLine(text));
            Advance(inner + 2);
            AfterTag(stripsAfter, trims: true);
            return true;
        }

        throw Bad("a raw block is not closed");
    }

    private int SkipBlanks(int position)
    {
        while (position < _source.Length && char.IsWhiteSpace(_source[position])) position++;
        return position;
    }

    private void Tag(char kind)
    {
        Add(kind == '%' ? TokenKind.BlockBegin : TokenKind.PrintBegin, "");
        var nesting = 0; // A '}' inside a dictionary does not close the tag.
        while (true)
        {
            Advance(SkipBlanks(_position));
            if (_position >= _source.Length) throw Bad("a tag is not closed");
            var signed = nesting == 0 && _source[_position] is '-' or '+' ? 1 : 0;
            if (nesting == 0 && string.CompareOrdinal(_source, _position + signed, kind == '%' ? "%}" : "}}", 0, 2) == 0)
            {
                var sign = signed == 1 ? _source[_position] : '\0';
                Add(kind == '%' ? TokenKind.BlockEnd : TokenKind.PrintEnd, "");
                Advance(_position + signed + 2);
                AfterTag(sign == '-', trims: kind == '%' && sign != '+');
                return;
            }

            var c = _source[_position];
            if (c is '"' or '\'') String(c);
            else if (char.IsAsciiDigit(c)) Number();
            else if (char.IsLetter(c) || c == '_') Name();
            else
            {
                var op = Array.Find(Operators, candidate => string.CompareOrdinal(_source, _position, candidate, 0, candidate.Length) == 0)
                    ?? throw Bad($"'{c}' has no meaning in a tag");
                if (op is "(" or "[" or "{") nesting++;
                if (op is ")" or "]" or "}") nesting--;
                Add(TokenKind.Operator, op);
                Advance(_position + op.Length);
            }
        }
    }

    private void Name()
    {
        var end = _position;
        while (end < _source.Length && (char.IsLetterOrDigit(_source[end]) || _source[end] == '_')) end++;
        Add(TokenKind.Name, _source[_position..end]);
        Advance(end);
    }

    private void Number()
    {
        var end = _position;
        while (end < _source.Length && (char.IsAsciiDigit(_source[end]) || _source[end] == '_')) end++;
        var kind = TokenKind.Integer;
        if (end + 1 < _source.Length && _source[end] == '.' && char.IsAsciiDigit(_source[end + 1]))
        {
            kind = TokenKind.Float;
            end++;
            while (end < _source.Length && char.IsAsciiDigit(_source[end])) end++;
        }

        if (end < _source.Length && _source[end] is 'e' or 'E')
        {
            var exponent = end + 1;
            if (exponent < _source.Length && _source[exponent] is '+' or '-') exponent++;
            if (exponent < _source.Length && char.IsAsciiDigit(_source[exponent]))
            {
                kind = TokenKind.Float;
                end = exponent;
                while (end < _source.Length && char.IsAsciiDigit(_source[end])) end++;
            }
        }

        Add(kind, _source[_position..end].Replace("_", "", StringComparison.Ordinal));
        Advance(end);
    }

    private void String(char quote)
    {
        var value = new StringBuilder();
        var index = _position + 1;
        for (; index < _source.Length && _source[index] != quote; index++)
        {
            if (_source[index] != '\\' || index + 1 >= _source.Length)
            {
                value.Append(_source[index]);
                continue;
            }

            index++;
            var (length, radix) = _source[index] switch { 'x' => (2, 16), 'u' => (4, 16), 'U' => (8, 16), _ => (0, 0) };
            if (radix == 16)
            {
                if (index + length >= _source.Length
                    || !uint.TryParse(_source.AsSpan(index + 1, length), System.Globalization.NumberStyles.AllowHexSpecifier, null, out var code)
                    || code > 0x10FFFF)
                {
                    throw Bad("a string has a bad escape");
                }

                if (code > 0xFFFF) value.Append(char.ConvertFromUtf32((int)code));
                else value.Append((char)code);
                index += length;
                continue;
            }

            switch (_source[index])
            {
                case 'n': value.Append('\n'); break;
                case 't': value.Append('\t'); break;
                case 'r': value.Append('\r'); break;
                case 'b': value.Append('\b'); break;
                case 'f': value.Append('\f'); break;
                case 'v': value.Append('\v'); break;
                case 'a': value.Append('\a'); break;
                case '0': value.Append('\0'); break;
                case '\n': break; // A line end after a backslash joins the lines.
                case '\\' or '\'' or '"': value.Append(_source[index]); break;
                default: value.Append('\\').Append(_source[index]); break;
            }
        }

        if (index >= _source.Length) throw Bad("a string is not closed");
        Add(TokenKind.String, value.ToString());
        Advance(index + 1);
    }

    private void Add(TokenKind kind, string value) => _tokens.Add(new Token(kind, value, _line));

    private void Advance(int position)
    {
        _line += _source.AsSpan(_position, position - _position).Count('\n');
        _position = position;
    }

    private ChatTemplateException Bad(string what) => ChatTemplateException.Malformed(_line, what);
}
