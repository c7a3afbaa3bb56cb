namespace Orleans.Serialization;

/// <summary>Numbers for types. Both ends of every message are in this process, so a number is as good as a name.</summary>
internal static class TypeTable
{
    private static readonly Lock Gate = new();
    private static readonly Dictionary<Type, ulong> Ids = [];
    private static readonly List<Type> Types = [];

    public static ulong IdOf(Type type)
    {
        lock (Gate)
        {
            if (Ids.TryGetValue(type, out var id)) return id;
            Types.Add(type);
            return Ids[type] = (ulong)Types.Count;
        }
    }

    public static Type TypeOf(ulong id)
    {
        lock (Gate)
        {
            return Types[(int)id - 1];
        }
    }
}
