namespace Granary.Text.Templates;

/// <summary>The filters that work on the items of a value.</summary>
internal sealed partial class Interpreter
{
    private object? ListFilter(string name, object? value, CallArguments arguments)
    {
        var items = ValueOperations.Items(value);
        Step(items.Count);
        switch (name)
        {
            case "list": return new ListValue(items);
            case "first": return items.Count > 0 ? items[0] : new UndefinedValue("first");
            case "last": return items.Count > 0 ? items[^1] : new UndefinedValue("last");
            case "reverse": return new ListValue([.. items.Reverse()]);
            case "join": return Methods.Join(this, Projected(items, arguments.Get(1, "attribute")), arguments.Text(0, "d", ""));
            case "sum": return Projected(items, arguments.Get(0, "attribute")).Aggregate(arguments.Get(1, "start", 0L), (sum, item) => Arithmetic.Binary(this, "+", sum, item));
            case "map": return new ListValue([.. Map(items, arguments)]);
            case "select": return new ListValue([.. items.Where(item => Selects(item, arguments.Positional, arguments))]);
            case "reject": return new ListValue([.. items.Where(item => !Selects(item, arguments.Positional, arguments))]);
            case "selectattr": return new ListValue([.. items.Where(item => SelectsAttribute(item, arguments))]);
            case "rejectattr": return new ListValue([.. items.Where(item => !SelectsAttribute(item, arguments))]);
            case "sort":
                return new ListValue(Sort(items, item => Folded(Projected(item, arguments.Get(2, "attribute")), arguments.Flag(1, "case_sensitive", false)), arguments.Flag(0, "reverse", false)));
            case "min" or "max":
                if (items.Count == 0) return new UndefinedValue(name);
                return Sort(items, item => Folded(Projected(item, arguments.Get(1, "attribute")), arguments.Flag(0, "case_sensitive", false)), name == "max")[0];
            case "unique":
                var seen = new DictionaryValue();
                return new ListValue([.. items.Where(item =>
                {
                    var key = Folded(Projected(item, arguments.Get(1, "attribute")), arguments.Flag(0, "case_sensitive", false));
                    if (seen.TryGet(Key(key), out _)) return false;
                    seen.Set(key, true);
                    return true;
                })]);
            case "dictsort": return DictSort(value, arguments);
            case "groupby": return GroupBy(items, arguments);
            case "slice": return Slices(items, arguments);
            default: return Batch(items, arguments);
        }
    }

    private ListValue DictSort(object? value, CallArguments arguments)
    {
        if (value is not DictionaryValue dictionary) throw Failed($"'dictsort' needs a dict, not {ValueOperations.TypeName(value)}");
        var byValue = arguments.Text(1, "by", "key") == "value";
        var sensitive = arguments.Flag(0, "case_sensitive", false);
        return new ListValue(Sort(Methods.Items(dictionary).Items, item => Folded(((ListValue)item!).Items[byValue ? 1 : 0], sensitive), arguments.Flag(2, "reverse", false)));
    }

    private ListValue GroupBy(IReadOnlyList<object?> items, CallArguments arguments)
    {
        var attribute = arguments.Required(0, "attribute");
        var groups = new List<object?>();
        foreach (var group in Sort(items, item => Projected(item, attribute), reverse: false).Chunked((a, b) => AreEqual(Projected(a, attribute), Projected(b, attribute))))
        {
            groups.Add(new ListValue([Projected(group[0], attribute), new ListValue(group)], isTuple: true));
        }

        return new ListValue(groups);
    }

    private static ListValue Batch(IReadOnlyList<object?> items, CallArguments arguments)
    {
        var size = arguments.Int(0, "linecount", 0);
        if (size < 1) throw arguments.Bad("needs a positive size");
        if (!arguments.TryGet(1, "fill_with", out var fill) || fill is null || items.Count % size == 0) return new ListValue([.. items.Chunk(size).Select(chunk => new ListValue(chunk))]);
        if (size > TemplateLimits.MaxItems) throw arguments.Bad($"makes more than {TemplateLimits.MaxItems} items");
        var padded = items.Concat(Enumerable.Repeat(fill, size - (items.Count % size)));
        return new ListValue([.. padded.Chunk(size).Select(chunk => new ListValue(chunk))]);
    }

    /// <summary>So many lists of nearly the same length, the longer ones first.</summary>
    private ListValue Slices(IReadOnlyList<object?> items, CallArguments arguments)
    {
        var count = arguments.Int(0, "slices", 0);
        if (count is < 1 or > TemplateLimits.MaxItems) throw arguments.Bad($"needs a number of slices from 1 to {TemplateLimits.MaxItems}");
        Step(count);
        var fill = arguments.Get(1, "fill_with");
        var (length, longer) = (items.Count / count, items.Count % count);
        var slices = new List<object?>(count);
        for (int slice = 0, start = 0; slice < count; slice++)
        {
            var taken = length + (slice < longer ? 1 : 0);
            var part = items.Skip(start).Take(taken);
            slices.Add(new ListValue([.. fill is not null && slice >= longer ? part.Append(fill) : part]));
            start += taken;
        }

        return new ListValue(slices);
    }

    private IEnumerable<object?> Map(IReadOnlyList<object?> items, CallArguments arguments)
    {
        if (arguments.Named.TryGetValue("attribute", out var attribute))
        {
            return items.Select(item => Projected(item, attribute) is var result && result is UndefinedValue && arguments.Named.TryGetValue("default", out var otherwise) ? otherwise : result);
        }

        var filter = arguments.Text(0, "filter");
        var rest = new CallArguments(filter, [.. arguments.Positional.Skip(1)], arguments.Named);
        return items.Select(item => ApplyFilter(filter, item, rest));
    }

    private bool Selects(object? item, IEnumerable<object?> test, CallArguments arguments)
    {
        Step();
        var parts = test.ToList();
        return parts.Count == 0 ? ValueOperations.IsTrue(item) : ApplyTest(ToText(parts[0]), item, new CallArguments(arguments.Text(0, "test"), parts[1..], arguments.Named));
    }

    private bool SelectsAttribute(object? item, CallArguments arguments) =>
        Selects(Projected(item, arguments.Required(0, "attribute")), arguments.Positional.Skip(1), arguments);

    private IReadOnlyList<object?> Projected(IReadOnlyList<object?> items, object? attribute) =>
        attribute is null ? items : [.. items.Select(item => Projected(item, attribute))];

    /// <summary>Follows a path as <c>a.b.0</c>, or one index.</summary>
    private object? Projected(object? item, object? attribute)
    {
        if (attribute is null) return item;
        if (attribute is not string path) return Item(item, attribute);
        foreach (var part in path.Split('.'))
        {
            item = long.TryParse(part, System.Globalization.CultureInfo.InvariantCulture, out var index) ? Item(item, index)
                : item is DictionaryValue dictionary && dictionary.TryGet(part, out var value) ? value : Item(item, part);
        }

        return item;
    }

    private static object? Folded(object? value, bool sensitive) => !sensitive && value is string text ? text.ToLowerInvariant() : value;

    private List<object?> Sort(IReadOnlyList<object?> items, Func<object?, object?> key, bool reverse)
    {
        var comparer = Comparer<object?>.Create((left, right) =>
        {
            Step();
            return Compare(left, right);
        });
        try
        {
            return [.. reverse ? items.OrderByDescending(key, comparer) : items.OrderBy(key, comparer)];
        }
        catch (InvalidOperationException exception) when (exception.InnerException is ChatTemplateException inner)
        {
            throw inner;
        }
    }
}

internal static class Chunking
{
    /// <summary>Runs of neighbours that belong together.</summary>
    public static IEnumerable<List<object?>> Chunked(this IEnumerable<object?> items, Func<object?, object?, bool> together)
    {
        List<object?> run = [];
        foreach (var item in items)
        {
            if (run.Count > 0 && !together(run[^1], item))
            {
                yield return run;
                run = [];
            }

            run.Add(item);
        }

        if (run.Count > 0) yield return run;
    }
}
