namespace Granary.Text.Templates;

// A value is null (none), bool, long, double, string, or one of these.

/// <summary>What a missing name or key gives: empty, false, and an error when more is asked of it.</summary>
internal sealed record UndefinedValue(string Name);

/// <summary>Text that was marked as safe; nothing is escaped here, so only the test <c>escaped</c> sees the difference.</summary>
internal sealed record SafeText(string Value);

/// <summary>A list or tuple. Templates cannot change one: the sandbox of Transformers is immutable, and so is this.</summary>
internal sealed record ListValue(IReadOnlyList<object?> Items, bool IsTuple = false)
{
    public bool Equals(ListValue? other) => other is not null && ReferenceEquals(Items, other.Items) && IsTuple == other.IsTuple;

    public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(Items);
}

/// <summary>A dictionary that keeps its order; keys are equal as in Python (1, 1.0 and true are one key).</summary>
internal sealed class DictionaryValue
{
    private readonly List<KeyValuePair<object?, object?>> _entries = [];
    private readonly Dictionary<KeyBox, int> _index = [];

    public IReadOnlyList<KeyValuePair<object?, object?>> Entries => _entries;

    /// <summary>Only for building: a value that a template can see does not change any more.</summary>
    public void Set(object? key, object? value)
    {
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

    public ChatTemplateException Bad(string what) => new($"The chat template failed: '{callee}' {what}.");
}
