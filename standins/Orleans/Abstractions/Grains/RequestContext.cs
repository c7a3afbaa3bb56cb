namespace Orleans.Runtime;

/// <summary>Values that travel with the calls made from here on, and with the calls those make.</summary>
public static class RequestContext
{
    private const string ReentrancyHeader = "#CCR";
    private static readonly AsyncLocal<Dictionary<string, object>?> CallContext = new();

    public static IEnumerable<string> Keys => CallContext.Value?.Keys ?? Enumerable.Empty<string>();

    public static IEnumerable<KeyValuePair<string, object>> Entries => CallContext.Value ?? Enumerable.Empty<KeyValuePair<string, object>>();

    public static Guid ReentrancyId
    {
        get => Get(ReentrancyHeader) is Guid id ? id : Guid.Empty;
        set
        {
            if (value == Guid.Empty) Remove(ReentrancyHeader);
            else Set(ReentrancyHeader, value);
        }
    }

    /// <summary>The values themselves: never written once set, so they may be shared.</summary>
    internal static Dictionary<string, object>? Current
    {
        get => CallContext.Value;
        set => CallContext.Value = value;
    }

    public static object? Get(string key) => CallContext.Value is { } values && values.TryGetValue(key, out var value) ? value : null;

    public static void Set(string key, object value)
    {
        var values = CallContext.Value is { } old ? new Dictionary<string, object>(old) : new Dictionary<string, object>(1);
        values[key] = value;
        CallContext.Value = values;
    }

    public static bool Remove(string key)
    {
        if (CallContext.Value is not { } old || !old.ContainsKey(key)) return false;
        var values = new Dictionary<string, object>(old);
        values.Remove(key);
        CallContext.Value = values.Count == 0 ? null : values;
        return true;
    }

    public static void Clear()
    {
        if (CallContext.Value is not null) CallContext.Value = null;
    }

    /// <summary>Calls made in the section may call back into this grain while it waits.</summary>
    public static ReentrancySection AllowCallChainReentrancy()
    {
        var id = ReentrancyId;
        return new ReentrancySection(id, id == Guid.Empty ? Guid.NewGuid() : id);
    }

    public static ReentrancySection SuppressCallChainReentrancy() => new(ReentrancyId, Guid.Empty);

    internal static Guid ReentrancyIdOf(Dictionary<string, object>? values) =>
        values is not null && values.TryGetValue(ReentrancyHeader, out var value) && value is Guid id ? id : Guid.Empty;

    public readonly struct ReentrancySection : IDisposable
    {
        private readonly Guid _original;
        private readonly Guid _new;
        private readonly Activation? _activation;

        public ReentrancySection(Guid originalReentrancyId, Guid newReentrancyId)
        {
            _original = originalReentrancyId;
            _new = newReentrancyId;
            _activation = RuntimeContext.Current as Activation;
            if (newReentrancyId != originalReentrancyId) ReentrancyId = newReentrancyId;
            if (newReentrancyId != Guid.Empty) _activation?.EnterReentrantSection(newReentrancyId);
        }

        public void Dispose()
        {
            if (_new != Guid.Empty) _activation?.LeaveReentrantSection(_new);
            if (_new != _original) ReentrancyId = _original;
        }
    }
}
