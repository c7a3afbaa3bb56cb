namespace Granary.Text.Templates;

/// <summary>Indexing, slices and membership; strings count in code points, as Python's do.</summary>
internal static class Sequences
{
    public static string? CharacterAt(string text, long index)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            if (index < 0) index += text.Length;
            return index >= 0 && index < text.Length ? text[(int)index].ToString() : null;
        }

        var runes = text.EnumerateRunes().ToArray();
        if (index < 0) index += runes.Length;
        return index >= 0 && index < runes.Length ? runes[index].ToString() : null;
    }

    public static long Length(object? value)
    {
        if (value is not UndefinedValue && ValueOperations.TryText(value, out var text))
        {
            return text.Length - text.AsSpan().Count(char.IsHighSurrogate);
        }

        return value is DictionaryValue dictionary ? dictionary.Entries.Count : ValueOperations.Items(value).Count;
    }

    private static int Count(this ReadOnlySpan<char> text, Func<char, bool> predicate)
    {
        var count = 0;
        foreach (var c in text)
        {
            if (predicate(c)) count++;
        }

        return count;
    }

    public static object? Slice(Interpreter interpreter, object? target, object? start, object? stop, object? step)
    {
        if (target is UndefinedValue undefined) throw Interpreter.Failed($"'{undefined.Name}' is undefined, so it has no slices");
        if (target is DictionaryValue or NamespaceValue or FunctionValue or null) throw Interpreter.Failed($"{ValueOperations.TypeName(target)} has no slices");
        var items = ValueOperations.Items(target);
        interpreter.Step(items.Count / 4);
        var stride = Bound(step) ?? 1;
        if (stride == 0) throw Interpreter.Failed("a slice has the step 0");

        var (low, high) = stride > 0 ? (0L, items.Count) : (-1L, items.Count - 1L);
        var from = Clamp(Bound(start), stride > 0 ? low : high);
        var to = Clamp(Bound(stop), stride > 0 ? high : low);
        var picked = new List<object?>();
        for (var index = from; stride > 0 ? index < to : index > to; index += stride) picked.Add(items[(int)index]);
        return target is ListValue list ? new ListValue(picked, list.IsTuple) : string.Concat(picked);

        long Clamp(long? value, long otherwise) =>
            value is not { } given ? otherwise : Math.Clamp(given < 0 ? given + items.Count : given, low, high);
    }

    private static long? Bound(object? value) => value switch
    {
        null or UndefinedValue => null,
        long number => Math.Clamp(number, int.MinValue, int.MaxValue),
        bool flag => flag ? 1 : 0,
        _ => throw Interpreter.Failed($"a slice is bounded by {ValueOperations.TypeName(value)}"),
    };

    public static bool Contains(Interpreter interpreter, object? container, object? item)
    {
        switch (container)
        {
            case string or SafeText:
                ValueOperations.TryText(container, out var text);
                interpreter.Step(text.Length / 16);
                if (item is UndefinedValue || !ValueOperations.TryText(item, out var part)) throw Interpreter.Failed($"'in' a string needs a string, not {ValueOperations.TypeName(item)}");
                return text.Contains(part, StringComparison.Ordinal);
            case DictionaryValue dictionary:
                return dictionary.TryGet(interpreter.Key(item), out _);
            default:
                var items = ValueOperations.Items(container);
                interpreter.Step(items.Count);
                return items.Any(candidate => interpreter.AreEqual(candidate, item));
        }
    }
}
