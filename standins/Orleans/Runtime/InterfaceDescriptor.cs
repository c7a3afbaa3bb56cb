using System.Collections.Concurrent;
using System.Reflection;

namespace Orleans.Runtime;

/// <summary>A grain interface: its methods by number, and how to make references to it.</summary>
internal sealed class InterfaceDescriptor
{
    private static readonly ConcurrentDictionary<Type, InterfaceDescriptor> All = new();

    private readonly Lazy<Func<RuntimeClient, InterfaceDescriptor, GrainId, GrainReference>> _factory;

    private InterfaceDescriptor(Type type)
    {
        Type = type;
        InterfaceType = GrainInterfaceType.Create(type.GetCustomAttributes<AliasAttribute>().FirstOrDefault()?.Alias ?? type.FullName!);
        Methods = [.. type.GetInterfaces().Append(type)
            .Where(declaring => typeof(IAddressable).IsAssignableFrom(declaring))
            .SelectMany(declaring => declaring.GetMethods(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
            .Where(method => method.IsAbstract || method.IsVirtual)
            .Select(method => MethodDescriptor.Of(this, method))];
        _factory = new(() => ProxyFactory.Create(this));
    }

    public Type Type { get; }

    public GrainInterfaceType InterfaceType { get; }

    public MethodDescriptor[] Methods { get; }

    public static InterfaceDescriptor Of(Type type) =>
        type.IsInterface && typeof(IAddressable).IsAssignableFrom(type)
            ? All.GetOrAdd(type, static type => new InterfaceDescriptor(type))
            : throw new ArgumentException($"{type.FullName} is not a grain interface.", nameof(type));

    public GrainReference CreateReference(RuntimeClient client, GrainId grainId) => _factory.Value(client, this, grainId);
}
