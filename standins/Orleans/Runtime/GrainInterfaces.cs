using System.Reflection;

namespace Orleans.Runtime;

/// <summary>Which class implements which grain interface, found in the assemblies that refer to this one.</summary>
internal static class GrainInterfaces
{
    private static readonly Lock Gate = new();
    private static readonly HashSet<Assembly> Scanned = [];
    private static readonly Dictionary<Type, List<GrainClass>> ByInterface = [];
    private static readonly Dictionary<GrainType, GrainClass> ByType = [];

    public static bool IsGrainInterface(Type type) =>
        type.IsInterface && typeof(IGrain).IsAssignableFrom(type) && type.Assembly != typeof(IGrain).Assembly;

    /// <summary>The class whose name starts with the prefix; without one there has to be one class only.</summary>
    public static GrainClass ClassOf(Type interfaceType, string? prefix = null)
    {
        lock (Gate)
        {
            if (!ByInterface.TryGetValue(interfaceType, out var classes))
            {
                Scan();
                ByInterface.TryGetValue(interfaceType, out classes);
            }

            var matching = prefix is null ? classes : classes?.FindAll(candidate => candidate.Type.FullName!.StartsWith(prefix, StringComparison.Ordinal));
            return matching switch
            {
                null or [] => throw new ArgumentException($"Could not find an implementation for interface {interfaceType.FullName}"),
                [var only] => only,
                _ when matching.Find(candidate => interfaceType.Name == "I" + candidate.Type.Name) is { } byName => byName,
                _ => throw new ArgumentException($"Unable to identify a single appropriate grain type for interface {interfaceType.FullName}."
                    + $" Candidates: {string.Join(", ", matching.Select(candidate => candidate.Type.FullName))}"),
            };
        }
    }

    public static GrainClass ClassOf(GrainType type)
    {
        lock (Gate)
        {
            if (ByType.TryGetValue(type, out var found)) return found;
            Scan();
            return ByType.TryGetValue(type, out found) ? found : throw new ArgumentException($"Could not find an implementation for grain type {type}");
        }
    }

    private static void Scan()
    {
        var pending = new Queue<Assembly>(AppDomain.CurrentDomain.GetAssemblies());
        if (Assembly.GetEntryAssembly() is { } entry) pending.Enqueue(entry);
        var self = typeof(IGrain).Assembly;
        while (pending.TryDequeue(out var assembly))
        {
            if (assembly.IsDynamic || assembly == self || !Scanned.Add(assembly)) continue;
            var references = assembly.GetReferencedAssemblies();
            if (!references.Any(name => name.Name == self.GetName().Name)) continue;
            foreach (var reference in references.Where(name => !name.Name!.StartsWith("System", StringComparison.Ordinal)))
            {
                if (TryLoad(reference) is { } loaded) pending.Enqueue(loaded);
            }

            foreach (var type in assembly.GetTypes()) Add(type);
        }
    }

    private static void Add(Type type)
    {
        if (!type.IsClass || type.IsAbstract || type.IsGenericTypeDefinition || !typeof(IGrainBase).IsAssignableFrom(type) || !type.GetInterfaces().Any(IsGrainInterface)) return;
        var grainClass = new GrainClass(type);
        if (!ByType.TryAdd(grainClass.GrainType, grainClass))
        {
            throw new InvalidOperationException($"{type.FullName} and {ByType[grainClass.GrainType].Type.FullName} both have the grain type {grainClass.GrainType}.");
        }

        foreach (var @interface in grainClass.Interfaces)
        {
            if (!ByInterface.TryGetValue(@interface, out var classes)) ByInterface[@interface] = classes = [];
            classes.Add(grainClass);
        }
    }

    private static Assembly? TryLoad(AssemblyName name)
    {
        try
        {
            return Assembly.Load(name);
        }
        catch (FileNotFoundException)
        {
            // A reference that is not deployed holds no grains.
            return null;
        }
    }
}
