using System.Runtime.CompilerServices;

namespace Orleans.Runtime;

/// <summary>References that belong to one silo or client.</summary>
internal sealed class GrainFactory(RuntimeClient client, IServiceProvider services) : IClusterClient
{
    private readonly ConditionalWeakTable<IGrainObserver, ObserverTarget> _observers = [];

    public IServiceProvider ServiceProvider { get; } = services;

    public RuntimeClient Client => client;

    public TGrainInterface GetGrain<TGrainInterface>(Guid primaryKey, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithGuidKey => Get<TGrainInterface>(GrainIdKeyExtensions.CreateGuidKey(primaryKey), grainClassNamePrefix);

    public TGrainInterface GetGrain<TGrainInterface>(long primaryKey, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithIntegerKey => Get<TGrainInterface>(GrainIdKeyExtensions.CreateIntegerKey(primaryKey), grainClassNamePrefix);

    public TGrainInterface GetGrain<TGrainInterface>(string primaryKey, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithStringKey => Get<TGrainInterface>(StringKey(primaryKey), grainClassNamePrefix);

    public TGrainInterface GetGrain<TGrainInterface>(Guid primaryKey, string keyExtension, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithGuidCompoundKey => Get<TGrainInterface>(GrainIdKeyExtensions.CreateGuidKey(primaryKey, Extension(keyExtension)), grainClassNamePrefix);

    public TGrainInterface GetGrain<TGrainInterface>(long primaryKey, string keyExtension, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithIntegerCompoundKey => Get<TGrainInterface>(GrainIdKeyExtensions.CreateIntegerKey(primaryKey, Extension(keyExtension)), grainClassNamePrefix);

    public TGrainObserverInterface CreateObjectReference<TGrainObserverInterface>(IGrainObserver obj)
        where TGrainObserverInterface : IGrainObserver
    {
        ArgumentNullException.ThrowIfNull(obj);
        if (obj is GrainReference or IGrainBase) throw new ArgumentException("Argument must not be a grain class or a grain reference.", nameof(obj));
        if (!typeof(TGrainObserverInterface).IsInterface) throw new ArgumentException("Argument must be an interface.", nameof(TGrainObserverInterface));
        var target = _observers.GetValue(obj, Create);
        return (TGrainObserverInterface)(object)client.Bind(typeof(TGrainObserverInterface), target.Id);
    }

    public void DeleteObjectReference<TGrainObserverInterface>(IGrainObserver obj)
        where TGrainObserverInterface : IGrainObserver
    {
        var reference = obj as GrainReference ?? throw new ArgumentException("Argument reference is not a grain reference.", nameof(obj));
        if (client.Cluster.Find(reference.GrainId) is ObserverTarget target)
        {
            client.Cluster.Remove(target);
            if (target.Instance is IGrainObserver observer) _observers.Remove(observer);
        }
    }

    public IGrain GetGrain(Type grainInterfaceType, Guid grainPrimaryKey) => (IGrain)GetGrain(grainInterfaceType, GrainIdKeyExtensions.CreateGuidKey(grainPrimaryKey));

    public IGrain GetGrain(Type grainInterfaceType, long grainPrimaryKey) => (IGrain)GetGrain(grainInterfaceType, GrainIdKeyExtensions.CreateIntegerKey(grainPrimaryKey));

    public IGrain GetGrain(Type grainInterfaceType, string grainPrimaryKey) => (IGrain)GetGrain(grainInterfaceType, StringKey(grainPrimaryKey));

    public IGrain GetGrain(Type grainInterfaceType, Guid grainPrimaryKey, string keyExtension) =>
        (IGrain)GetGrain(grainInterfaceType, GrainIdKeyExtensions.CreateGuidKey(grainPrimaryKey, Extension(keyExtension)));

    public IGrain GetGrain(Type grainInterfaceType, long grainPrimaryKey, string keyExtension) =>
        (IGrain)GetGrain(grainInterfaceType, GrainIdKeyExtensions.CreateIntegerKey(grainPrimaryKey, Extension(keyExtension)));

    public TGrainInterface GetGrain<TGrainInterface>(GrainId grainId)
        where TGrainInterface : IAddressable => (TGrainInterface)(object)client.Bind(typeof(TGrainInterface), grainId);

    public IAddressable GetGrain(GrainId grainId) => client.Bind(GrainInterfaces.ClassOf(grainId.Type).MainInterface, grainId);

    public IAddressable GetGrain(GrainId grainId, GrainInterfaceType interfaceType)
    {
        var grainClass = GrainInterfaces.ClassOf(grainId.Type);
        return client.Bind(Array.Find(grainClass.Interfaces, candidate => InterfaceDescriptor.Of(candidate).InterfaceType == interfaceType) ?? grainClass.MainInterface, grainId);
    }

    public IAddressable GetGrain(Type interfaceType, IdSpan grainKey, string grainClassNamePrefix) =>
        client.Bind(interfaceType, new GrainId(GrainInterfaces.ClassOf(interfaceType, grainClassNamePrefix).GrainType, grainKey));

    public IAddressable GetGrain(Type interfaceType, IdSpan grainKey) =>
        client.Bind(interfaceType, new GrainId(GrainInterfaces.ClassOf(interfaceType).GrainType, grainKey));

    private TGrainInterface Get<TGrainInterface>(IdSpan key, string? prefix) =>
        (TGrainInterface)(object)client.Bind(typeof(TGrainInterface), new GrainId(GrainInterfaces.ClassOf(typeof(TGrainInterface), prefix).GrainType, key));

    private ObserverTarget Create(IGrainObserver observer)
    {
        var target = new ObserverTarget(client, new GrainId(ObserverTarget.Type, IdSpan.Create(Guid.NewGuid().ToString("N"))), observer);
        client.Cluster.Add(target);
        return target;
    }

    private static IdSpan StringKey(string key) =>
        string.IsNullOrWhiteSpace(key) ? throw new ArgumentException("A grain's key must not be null, empty or blank.", nameof(key)) : IdSpan.Create(key);

    private static string Extension(string keyExtension) =>
        string.IsNullOrWhiteSpace(keyExtension) ? throw new ArgumentException("Key extension is empty or whitespace.", nameof(keyExtension)) : keyExtension;
}
