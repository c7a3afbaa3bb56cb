using System.Reflection;

namespace Orleans.Serialization;

/// <summary>The members of a type that travel: fields, and properties by their backing fields, in the order of base class and id.</summary>
internal static class TypeMembers
{
    private const BindingFlags Declared = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    public static FieldInfo[] Of(Type type)
    {
        var members = new List<FieldInfo>();
        for (var level = type; level is not null && level != typeof(object) && level != typeof(ValueType) && level != typeof(Exception); level = level.BaseType)
        {
            if (level.GetCustomAttribute<GenerateSerializerAttribute>(inherit: false) is { } attribute) members.InsertRange(0, OfLevel(level, attribute));
        }

        return [.. members];
    }

    public static FieldInfo[] OfTuple(Type type) =>
        [.. type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).OrderBy(field => field.Name, StringComparer.Ordinal)];

    private static IEnumerable<FieldInfo> OfLevel(Type type, GenerateSerializerAttribute attribute)
    {
        var byId = new SortedDictionary<uint, FieldInfo>();
        foreach (var field in type.GetFields(Declared))
        {
            if (field.GetCustomAttribute<IdAttribute>() is { } id) Add(id.Id, field);
        }

        foreach (var property in type.GetProperties(Declared))
        {
            if (property.GetCustomAttribute<IdAttribute>() is { } id) Add(id.Id, BackingField(type, property));
        }

        var implicitly = new List<FieldInfo>();
        if (IsRecord(type) || attribute.IncludePrimaryConstructorParameters)
        {
            // A record's primary constructor parameters travel without ids.
            var constructor = type.GetConstructors(Declared)
                .Where(c => c.GetParameters() is { Length: > 0 } p && p.All(x => x.Name is { } name && type.GetProperty(name, Declared) is not null))
                .MaxBy(c => c.GetParameters().Length);
            foreach (var parameter in constructor?.GetParameters() ?? [])
            {
                var property = type.GetProperty(parameter.Name!, Declared)!;
                if (property.GetCustomAttribute<IdAttribute>() is null) implicitly.Add(BackingField(type, property));
            }
        }

        if (attribute.GenerateFieldIds == GenerateFieldIds.PublicProperties)
        {
            foreach (var property in type.GetProperties(Declared))
            {
                if (property.GetMethod is { IsPublic: true } && property.GetCustomAttribute<IdAttribute>() is null
                    && type.GetField($"<{property.Name}>k__BackingField", Declared) is { } field && !implicitly.Contains(field))
                {
                    implicitly.Add(field);
                }
            }
        }

        return implicitly.Concat(byId.Values);

        void Add(uint id, FieldInfo field)
        {
            if (!byId.TryAdd(id, field)) throw new SerializerException($"{type.FullName}: {field.Name} and {byId[id].Name} both have the id {id}.");
        }
    }

    private static bool IsRecord(Type type) => type.GetMethod("PrintMembers", Declared) is not null;

    private static FieldInfo BackingField(Type type, PropertyInfo property) =>
        type.GetField($"<{property.Name}>k__BackingField", Declared)
        ?? throw new SerializerException($"{type.FullName}.{property.Name} has an id and no backing field; the stand-in writes fields and automatic properties only.");
}
