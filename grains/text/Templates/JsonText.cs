using System.Globalization;
using System.Text;

namespace Granary.Text.Templates;

/// <summary>Python's <c>json.dumps</c>, which is what <c>tojson</c> means in chat templates: nothing is escaped for HTML.</summary>
internal sealed class JsonText(string? indent, string itemSeparator, string keySeparator, bool sortKeys, bool ensureAscii)
{
    private readonly StringBuilder _output = new();

    public string Write(object? value)
    {
        Write(value, 0);
        return _output.ToString();
    }

    private void Write(object? value, int depth)
    {
        if (depth > TemplateLimits.MaxDepth) throw ValueOperations.TooDeep();
        if (_output.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
        switch (value)
        {
            case null: _output.Append("null"); break;
            case bool flag: _output.Append(flag ? "true" : "false"); break;
            case long number: _output.Append(CultureInfo.InvariantCulture, $"{number}"); break;
            case double number:
                _output.Append(double.IsNaN(number) ? "NaN" : double.IsInfinity(number) ? (number > 0 ? "Infinity" : "-Infinity") : ValueOperations.Number(number));
                break;
            case string text: WriteText(text); break;
            case SafeText text: WriteText(text.Value); break;
            case ListValue list:
                WriteAll('[', ']', list.Items, depth, (item, inner) => Write(item, inner));
                break;
            case DictionaryValue dictionary:
                var entries = sortKeys ? [.. dictionary.Entries.OrderBy(entry => Key(entry.Key), StringComparer.Ordinal)] : dictionary.Entries;
                WriteAll('{', '}', entries, depth, (entry, inner) =>
                {
                    WriteText(Key(entry.Key));
                    _output.Append(keySeparator);
                    Write(entry.Value, inner);
                });
                break;
            default:
                throw ChatTemplateException.Failed($"'tojson' cannot write {ValueOperations.TypeName(value)}");
        }
    }

    private void WriteAll<T>(char open, char close, IReadOnlyList<T> items, int depth, Action<T, int> write)
    {
        _output.Append(open);
        for (var index = 0; index < items.Count; index++)
        {
            if (index > 0) _output.Append(itemSeparator);
            NewLine(depth + 1);
            write(items[index], depth + 1);
        }

        if (items.Count > 0) NewLine(depth);
        _output.Append(close);
    }

    private void NewLine(int depth)
    {
        if (indent is null) return;
        _output.Append('\n');
        for (var level = 0; level < depth; level++) _output.Append(indent);
    }

    private static string Key(object? key) => key switch
    {
        null => "null",
        bool flag => flag ? "true" : "false",
        ListValue => throw ChatTemplateException.Failed("'tojson' cannot write a key that is a tuple"),
        _ => ValueOperations.ToText(key),
    };

    private void WriteText(string text)
    {
        _output.Append('"');
        foreach (var c in text)
        {
            _ = c switch
            {
                '"' => _output.Append("\\\""),
                '\\' => _output.Append("\\\\"),
                '\n' => _output.Append("\\n"),
                '\r' => _output.Append("\\r"),
                '\t' => _output.Append("\\t"),
                '\b' => _output.Append("\\b"),
                '\f' => _output.Append("\\f"),
                _ when c < 0x20 || (ensureAscii && c > 0x7E) => _output.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => _output.Append(c),
            };
        }

        _output.Append('"');
    }
}
