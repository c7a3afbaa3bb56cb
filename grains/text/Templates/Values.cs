namespace Granary.Text.Templates;

// A value is null (none), bool, long, double, string, or one of these.

/// <summary>What a missing name or key gives: empty, false, and an error when more is asked of it.</summary>
internal sealed record UndefinedValue(string Name)
{
    private const int MaxNameLength = 100;

    /// <summary>What a key that is not there gives.</summary>
    public static UndefinedValue OfKey(object? key) => new(
        key is string text ? text.Length <= MaxNameLength ? text : text[..MaxNameLength] + "…"
        : key is long ? ValueOperations.ToText(key) : ValueOperations.TypeName(key));
}

/// <summary>Text that was marked as safe; nothing is escaped here, so only the test <c>escaped</c> sees the difference.</summary>
internal sealed record SafeText(string Value);

/// <summary>A list or tuple. Templates cannot change one: the sandbox of Transformers is immutable, and so is this.</summary>
internal sealed record ListValue : INested
{
    /// <exception cref="ChatTemplateException">With what is inside it the list would be too large or too deep.</exception>
    public ListValue(IReadOnlyList<object?> items, bool isTuple = false)
    {
        Items = items;
        IsTuple = isTuple;
        var size = new NestedSize();
        for (var index = 0; index < items.Count; index++) size.Add(items[index]);
        Size = size;
    }

    public IReadOnlyList<object?> Items { get; }

    public bool IsTuple { get; }

    public NestedSize Size { get; }

    public bool Equals(ListValue? other) => other is not null && ReferenceEquals(Items, other.Items) && IsTuple == other.IsTuple;

    public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(Items);
}

/// <summary>A value with values inside it.</summary>
internal interface INested
{
    NestedSize Size { get; }
}

/// <summary>How large a value is with all that is inside it; counted when it is built, so that nothing walks a value that is too large.</summary>
internal struct NestedSize
{
    /// <summary>Values inside, each counted wherever it stands.</summary>
    public long Count { get; private set; }

    /// <summary>Work of looking through all: values, and their text.</summary>
    public long Weight { get; private set; }

    public int Depth { get; private set; }

    /// <exception cref="ChatTemplateException">There are more than <see cref="TemplateLimits.MaxItems"/> values, or they are deeper than <see cref="TemplateLimits.MaxDepth"/>.</exception>
    public void Add(object? value)
    {
        Count++;
        Weight++;
        if (value is INested nested)
        {
            var inner = nested.Size;
            Count += inner.Count;
            Weight += inner.Weight;
            Depth = Math.Max(Depth, inner.Depth + 1);
            if (Depth > TemplateLimits.MaxDepth) throw ValueOperations.TooDeep();
        }
        else
        {
            Weight += ValueOperations.Weight(value);
        }

        if (Count > TemplateLimits.MaxItems) throw ChatTemplateException.Failed($"a value grew beyond {TemplateLimits.MaxItems} items");
    }
}

/// <summary>A dictionary that keeps its order; keys are equal as in Python (1, 1.0 and true are one key).</summary>
internal sealed class DictionaryValue : INested
{
    private readonly List<KeyValuePair<object?, object?>> _entries = [];
    private readonly Dictionary<KeyBox, int> _index = [];

    private NestedSize _size;

    public IReadOnlyList<KeyValuePair<object?, object?>> Entries => _entries;

    public NestedSize Size => _size;

    /// <summary>Only for building: a value that a template can see does not change any more.</summary>
    public void Set(object? key, object? value)
    {
        _size.Add(key);
        _size.Add(value);
        var box = new KeyBox(key);
        if (_index.TryGetValue(box, out var index))
        {
            _entries[index] = new(_entries[index].Key, value);
            return;
        }

        _index[box] = _entries.Count;
        _entries.Add(new(key, value));
    }

    public bool TryGet(object? key, out object? value)
    {
        if (key is not (DictionaryValue or NamespaceValue or UndefinedValue) && _index.TryGetValue(new KeyBox(key), out var index))
        {
            value = _entries[index].Value;
            return true;
        }

        value = null;
        return false;
    }

    private readonly struct KeyBox(object? key) : IEquatable<KeyBox>
    {
        private readonly object? _key = key;

        public bool Equals(KeyBox other) => ValueOperations.AreEqual(_key, other._key);

        public override bool Equals(object? obj) => obj is KeyBox other && Equals(other);

        public override int GetHashCode() => ValueOperations.Hash(_key);
    }
}

/// <summary>The one value a template may change: what <c>namespace()</c> makes.</summary>
internal sealed class NamespaceValue
{
    public Dictionary<string, object?> Attributes { get; } = new(StringComparer.Ordinal);
}

/// <summary>What <c>cycler()</c> makes: gives its items in turn, over and over.</summary>
internal sealed class CyclerValue(object?[] items)
{
    private int _position;

    public object? Get(string name) => name switch
    {
        "current" => items[_position],
        "next" => new FunctionValue(name, _ =>
        {
            var current = items[_position];
            _position = (_position + 1) % items.Length;
            return current;
        }),
        "reset" => new FunctionValue(name, _ =>
        {
            _position = 0;
            return null;
        }),
        _ => new UndefinedValue(name),
    };
}

/// <summary>Something a template can call.</summary>
internal sealed class FunctionValue(string name, Func<CallArguments, object?> body)
{
    public string Name { get; } = name;

    public object? Invoke(CallArguments arguments) => body(arguments);
}

/// <summary>The evaluated arguments of one call.</summary>
internal sealed class CallArguments(string callee, List<object?> positional, Dictionary<string, object?> named)
{
    public List<object?> Positional { get; } = positional;
    public Dictionary<string, object?> Named { get; } = named;

    public bool TryGet(int index, string name, out object? value)
    {
        if (index < Positional.Count)
        {
            value = Positional[index];
            return true;
        }

        return Named.TryGetValue(name, out value);
    }

    public object? Get(int index, string name, object? otherwise = null) => TryGet(index, name, out var value) ? value : otherwise;

    public object? Required(int index, string name) => TryGet(index, name, out var value) ? value : throw Bad($"lacks the argument '{name}'");

    public string Text(int index, string name, string? otherwise = null)
    {
        var value = otherwise is null ? Required(index, name) : Get(index, name, otherwise);
        return ValueOperations.TryText(value, out var text) ? text : throw Bad($"needs a string as '{name}'");
    }

    public int Int(int index, string name, int otherwise) => (int)Math.Clamp(Long(index, name, otherwise), int.MinValue, int.MaxValue);

    public long Long(int index, string name, long otherwise) => Get(index, name, otherwise) switch
    {
        long value => value,
        bool value => value ? 1 : 0,
        null => otherwise,
        _ => throw Bad($"needs a whole number as '{name}'"),
    };

    public bool Flag(int index, string name, bool otherwise) => TryGet(index, name, out var value) ? ValueOperations.IsTrue(value) : otherwise;

    public ChatTemplateException Bad(string what) => ChatTemplateException.Failed($"'{callee}' {what}");
}
