using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Text.Templates;

/// <summary>Python's truth, equality, order and text of values.</summary>
internal static class ValueOperations
{
    public static object? FromJson(JsonNode? node, int depth = 0)
    {
        if (depth > TemplateLimits.MaxDepth) throw new ChatTemplateException($"The data of a chat template is nested deeper than {TemplateLimits.MaxDepth} levels.");
        switch (node)
        {
            case null:
                return null;
            case JsonArray array:
                return new ListValue([.. array.Select(item => FromJson(item, depth + 1))]);
            case JsonObject source:
                var dictionary = new DictionaryValue();
                foreach (var (key, value) in source) dictionary.Set(key, FromJson(value, depth + 1));
                return dictionary;
            default:
                return FromScalar(node);
        }
    }

    private static object? FromScalar(JsonNode node)
    {
        switch (node.GetValueKind())
        {
            case JsonValueKind.True: return true;
            case JsonValueKind.False: return false;
            case JsonValueKind.String: return node.GetValue<string>();
            case JsonValueKind.Number:
                var text = node.ToJsonString();
                return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole)
                    ? (object)whole
                    : double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture);
            default: return null;
        }
    }

    /// <summary>Steps that looking through a value counts.</summary>
    public static long Weight(object? value) => value switch
    {
        string text => text.Length / 16,
        SafeText safe => safe.Value.Length / 16,
        INested nested => nested.Size.Weight,
        _ => 0,
    };

    public static bool IsTrue(object? value) => value switch
    {
        null or UndefinedValue => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        SafeText text => text.Value.Length > 0,
        ListValue list => list.Items.Count > 0,
        DictionaryValue dictionary => dictionary.Entries.Count > 0,
        _ => true,
    };

    public static bool TryText(object? value, out string text)
    {
        text = value is string plain ? plain : value is SafeText safe ? safe.Value : value is UndefinedValue ? "" : null!;
        return text is not null;
    }

    public static bool TryNumber(object? value, out double number, out bool whole)
    {
        (number, whole) = value switch
        {
            long integer => (integer, true),
            bool flag => (flag ? 1 : 0, true),
            double real => (real, false),
            _ => (double.NaN, false),
        };
        return value is long or bool or double;
    }

    public static bool AreEqual(object? left, object? right, int depth = 0)
    {
        if (depth > TemplateLimits.MaxDepth) throw TooDeep();
        if (left is SafeText leftSafe) left = leftSafe.Value;
        if (right is SafeText rightSafe) right = rightSafe.Value;
        if (left is long a && right is long b) return a == b;
        if (TryNumber(left, out var x, out _) && TryNumber(right, out var y, out _)) return x == y;
        switch (left, right)
        {
            case (null, null): return true;
            case (string first, string second): return string.Equals(first, second, StringComparison.Ordinal);
            case (UndefinedValue, UndefinedValue): return true;
            case (ListValue first, ListValue second):
                return first.IsTuple == second.IsTuple && first.Items.Count == second.Items.Count
                    && first.Items.Zip(second.Items).All(pair => AreEqual(pair.First, pair.Second, depth + 1));
            case (DictionaryValue first, DictionaryValue second):
                return first.Entries.Count == second.Entries.Count
                    && first.Entries.All(entry => second.TryGet(entry.Key, out var other) && AreEqual(entry.Value, other, depth + 1));
            default: return ReferenceEquals(left, right);
        }
    }

    public static int Hash(object? value) => value switch
    {
        null => 0,
        SafeText safe => safe.Value.GetHashCode(StringComparison.Ordinal),
        string text => text.GetHashCode(StringComparison.Ordinal),
        ListValue list => list.Items.Aggregate(list.Items.Count, (hash, item) => HashCode.Combine(hash, Hash(item))),
        _ when TryNumber(value, out var number, out _) => number.GetHashCode(),
        _ => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(value),
    };

    public static int Compare(object? left, object? right)
    {
        if (left is long a && right is long b) return a.CompareTo(b);
        if (TryNumber(left, out var x, out _) && TryNumber(right, out var y, out _)) return x.CompareTo(y);
        if (left is not UndefinedValue && right is not UndefinedValue && TryText(left, out var first) && TryText(right, out var second))
        {
            return string.CompareOrdinal(first, second);
        }

        if (left is ListValue list && right is ListValue other)
        {
            for (var index = 0; index < Math.Min(list.Items.Count, other.Items.Count); index++)
            {
                if (!AreEqual(list.Items[index], other.Items[index])) return Compare(list.Items[index], other.Items[index]);
            }

            return list.Items.Count.CompareTo(other.Items.Count);
        }

        throw ChatTemplateException.Failed($"{TypeName(left)} and {TypeName(right)} have no order");
    }

    /// <summary>Python's <c>str()</c>.</summary>
    public static string ToText(object? value)
    {
        if (TryText(value, out var text)) return text;
        var output = new StringBuilder();
        Write(value, output, 0);
        return output.ToString();
    }

    /// <summary>Python's <c>repr()</c>, with the keys of dictionaries in order.</summary>
    public static string ToSource(object? value)
    {
        var output = new StringBuilder();
        Write(Sorted(value), output, 0);
        return output.ToString();

        static object? Sorted(object? value)
        {
            if (value is ListValue list) return new ListValue([.. list.Items.Select(Sorted)], list.IsTuple);
            if (value is not DictionaryValue dictionary) return value;
            var sorted = new DictionaryValue();
            foreach (var (key, item) in dictionary.Entries.OrderBy(entry => ToText(entry.Key), StringComparer.Ordinal)) sorted.Set(key, Sorted(item));
            return sorted;
        }
    }

    /// <summary>Python's <c>repr()</c>.</summary>
    private static void Write(object? value, StringBuilder output, int depth)
    {
        if (depth > TemplateLimits.MaxDepth) throw TooDeep();
        if (output.Length > TemplateLimits.MaxOutputLength) throw TooLong();
        switch (value)
        {
            case null: output.Append("None"); break;
            case bool flag: output.Append(flag ? "True" : "False"); break;
            case long number: output.Append(CultureInfo.InvariantCulture, $"{number}"); break;
            case double number: output.Append(Number(number)); break;
            case string text: WriteQuoted(text, output); break;
            case SafeText text: WriteQuoted(text.Value, output); break;
            case UndefinedValue: output.Append("Undefined"); break;
            case ListValue list:
                output.Append(list.IsTuple ? '(' : '[');
                for (var index = 0; index < list.Items.Count; index++)
                {
                    if (index > 0) output.Append(", ");
                    Write(list.Items[index], output, depth + 1);
                }

                if (list.IsTuple && list.Items.Count == 1) output.Append(',');
                output.Append(list.IsTuple ? ')' : ']');
                break;
            case DictionaryValue dictionary:
                output.Append('{');
                for (var index = 0; index < dictionary.Entries.Count; index++)
                {
                    if (index > 0) output.Append(", ");
                    Write(dictionary.Entries[index].Key, output, depth + 1);
                    output.Append(": ");
                    Write(dictionary.Entries[index].Value, output, depth + 1);
                }

                output.Append('}');
                break;
            default: output.Append('<').Append(TypeName(value)).Append('>'); break;
        }
    }

    private static void WriteQuoted(string text, StringBuilder output)
    {
        var quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        output.Append(quote);
        foreach (var c in text)
        {
            _ = c switch
            {
                '\n' => output.Append("\\n"),
                '\r' => output.Append("\\r"),
                '\t' => output.Append("\\t"),
                '\\' => output.Append("\\\\"),
                _ when c == quote => output.Append('\\').Append(c),
                _ when char.IsControl(c) => output.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                _ => output.Append(c),
            };
        }

        output.Append(quote);
    }

    /// <summary>A float as Python prints it: shortest digits that read back, always with a point or an exponent.</summary>
    public static string Number(double value)
    {
        if (double.IsNaN(value)) return "nan";
        if (double.IsInfinity(value)) return value > 0 ? "inf" : "-inf";
        var magnitude = Math.Abs(value);
        if (magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16))
        {
            var text = value.ToString("E16", CultureInfo.InvariantCulture);
            var shortest = value.ToString("R", CultureInfo.InvariantCulture);
            if (!shortest.Contains('E')) shortest = text;
            var (mantissa, exponent) = (shortest[..shortest.IndexOf('E')], int.Parse(shortest[(shortest.IndexOf('E') + 1)..], CultureInfo.InvariantCulture));
            return $"{mantissa}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
        }

        var digits = value.ToString("R", CultureInfo.InvariantCulture);
        if (digits.Contains('E')) digits = ((decimal)value).ToString(CultureInfo.InvariantCulture);
        return digits.Contains('.') ? digits : digits + ".0";
    }

    public static string TypeName(object? value) => value switch
    {
        null => "none",
        bool => "bool",
        long => "int",
        double => "float",
        string or SafeText => "string",
        UndefinedValue undefined => $"undefined '{undefined.Name}'",
        ListValue list => list.IsTuple ? "tuple" : "list",
        DictionaryValue => "dict",
        NamespaceValue => "namespace",
        CyclerValue => "cycler",
        Interpreter.LoopState => "loop",
        FunctionValue function => $"function {function.Name}",
        _ => value.GetType().Name,
    };

    /// <summary>The items of whatever can be iterated; a dictionary gives its keys, a string its characters.</summary>
    public static IReadOnlyList<object?> Items(object? value)
    {
        switch (value)
        {
            case ListValue list: return list.Items;
            case DictionaryValue dictionary: return [.. dictionary.Entries.Select(entry => entry.Key)];
            case UndefinedValue: return [];
            case string or SafeText:
                TryText(value, out var text);
                return [.. text.EnumerateRunes().Select(rune => rune.ToString())];
            default: throw ChatTemplateException.Failed($"{TypeName(value)} cannot be iterated");
        }
    }

    public static ChatTemplateException TooDeep() =>
        ChatTemplateException.Failed($"it went deeper than {TemplateLimits.MaxDepth} levels of calls or values");

    public static ChatTemplateException TooLong() =>
        ChatTemplateException.Failed($"a text grew beyond {TemplateLimits.MaxOutputLength} chars");
}
