using System.Collections.Immutable;
using System.Linq.Expressions;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Metadata;
using Orleans.Serialization.Invocation;

namespace Orleans.Runtime;

/// <summary>A grain class and what its attributes say of it.</summary>
internal sealed class GrainClass
{
    private readonly ParameterInfo[] _facets;

    public GrainClass(Type type)
    {
        Type = type;
        var alias = type.GetCustomAttributes<AliasAttribute>().FirstOrDefault()?.Alias;
        var name = type.Name.EndsWith("Grain", StringComparison.Ordinal) && type.Name.Length > 5 ? type.Name[..^5] : type.Name;
        GrainType = GrainType.Create(type.GetCustomAttribute<GrainTypeAttribute>()?.Name ?? alias ?? name.ToLowerInvariant());
        Interfaces = [.. type.GetInterfaces().Where(GrainInterfaces.IsGrainInterface)];
        MainInterface = Interfaces.FirstOrDefault(candidate => !Interfaces.Any(other => other != candidate && candidate.IsAssignableFrom(other))) ?? Interfaces[0];
        IsReentrant = type.GetCustomAttribute<ReentrantAttribute>() is not null;
        MayInterleave = type.GetCustomAttribute<MayInterleaveAttribute>() is { } attribute ? Predicate(type, attribute.CallbackMethodName) : null;
        _facets = [.. type.GetConstructors().SelectMany(constructor => constructor.GetParameters()).Where(parameter => parameter.GetCustomAttributes().OfType<IFacetMetadata>().Any())];
    }

    public Type Type { get; }

    public GrainType GrainType { get; }

    public Type[] Interfaces { get; }

    public Type MainInterface { get; }

    public bool IsReentrant { get; }

    public Func<object?, IInvokable, bool>? MayInterleave { get; }

    public GrainProperties Properties(IServiceProvider services)
    {
        var properties = new Dictionary<string, string>
        {
            [WellKnownGrainTypeProperties.TypeName] = Type.Name,
            [WellKnownGrainTypeProperties.FullTypeName] = Type.FullName!,
        };
        foreach (var attribute in Type.GetCustomAttributes(inherit: true).OfType<IGrainPropertiesProviderAttribute>())
        {
            attribute.Populate(services, Type, GrainType, properties);
        }

        return new GrainProperties(properties.ToImmutableDictionary());
    }

    /// <summary>How long an activation may be idle; null for ever.</summary>
    public TimeSpan? CollectionAge(TimeSpan defaultAge)
    {
        if (Type.GetCustomAttribute<KeepAliveAttribute>(inherit: true) is not null) return null;
        return Type.GetCustomAttribute<CollectionAgeLimitAttribute>(inherit: true) is { } limit
            ? limit.AlwaysActive ? null : limit.AgeLimit
            : defaultAge;
    }

    public object Create(Activation activation)
    {
        var facets = _facets.Select(parameter => activation.Silo.Storage.MakeFacet(activation, parameter)).ToArray();
        return ActivatorUtilities.CreateInstance(activation.ActivationServices, Type, facets);
    }

    private static Func<object?, IInvokable, bool> Predicate(Type type, string name)
    {
        var method = type.GetMethod(name, BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.FlattenHierarchy)
            ?? throw new InvalidOperationException($"Class {type.FullName} doesn't declare the method \"{name}\" of its MayInterleave attribute.");
        if (method.ReturnType != typeof(bool) || method.GetParameters() is not [{ ParameterType: var parameter }] || parameter != typeof(IInvokable))
        {
            throw new InvalidOperationException($"{type.FullName}.{name} has to be of the form bool {name}(IInvokable request).");
        }

        var instance = Expression.Parameter(typeof(object));
        var request = Expression.Parameter(typeof(IInvokable));
        var call = method.IsStatic ? Expression.Call(method, request) : Expression.Call(Expression.Convert(instance, type), method, request);
        return Expression.Lambda<Func<object?, IInvokable, bool>>(call, instance, request).Compile();
    }
}
