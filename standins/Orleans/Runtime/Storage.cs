using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>What the memory storage of a cluster holds: bytes, so that no state is shared.</summary>
internal sealed class InProcessStorage
{
    private readonly ConcurrentDictionary<(string Storage, string State, GrainId Grain), (byte[] Message, string Etag)> _records = new();

    /// <summary>What is wrong with it: every access takes so long, or fails then.</summary>
    public (TimeSpan Delay, string? Failure) Fault { get; set; }

    /// <summary>Forgets everything.</summary>
    public void Flush() => _records.Clear();

    /// <summary>What an access suffers before it is made.</summary>
    public Task PassAsync(TimeProvider time)
    {
        var (delay, failure) = Fault;
        return delay <= TimeSpan.Zero && failure is null ? Task.CompletedTask : SufferAsync();

        async Task SufferAsync()
        {
            if (delay > TimeSpan.Zero) await Task.Delay(delay, time);
            if (failure is not null) throw new OrleansException(failure);
        }
    }

    public (byte[] Message, string Etag)? Find(string storage, string state, GrainId grain) =>
        _records.TryGetValue((storage, state, grain), out var record) ? record : null;

    public string Write(string storage, string state, GrainId grain, byte[] message, string? etag)
    {
        var key = (storage, state, grain);
        var next = (message, Guid.NewGuid().ToString("N"));
        var done = etag is null ? _records.TryAdd(key, next) : _records.TryGetValue(key, out var old) && old.Etag == etag && _records.TryUpdate(key, next, old);
        return done ? next.Item2 : throw new Storage.InconsistentStateException($"State {state} of {grain} was written by somebody else.");
    }

    public void Clear(string storage, string state, GrainId grain) => _records.TryRemove((storage, state, grain), out _);
}

internal interface IStateReader
{
    Task ReadAsync();
}

/// <summary>Makes grains' states.</summary>
internal sealed class GrainStateFactory(SiloRuntime silo)
{
    public IPersistentState<T> Make<T>(GrainId grain, string name, string? storage)
    {
        storage ??= "Default";
        if (silo.Services.GetKeyedService<Storage.IGrainStorage>(storage) is { } provider) return new ProvidedState<T>(provider, name, grain);
        if (!silo.StorageNames.Contains(storage))
        {
            throw new Storage.BadProviderConfigException($"No storage provider named \"{storage}\" was added: AddMemoryGrainStorage or AddMemoryGrainStorageAsDefault is missing.");
        }

        return new StoredState<T>(silo, storage, name, grain);
    }

    public object MakeFacet(Activation activation, ParameterInfo parameter)
    {
        var configuration = parameter.GetCustomAttributes().OfType<IPersistentStateConfiguration>().FirstOrDefault();
        if (configuration is null || !parameter.ParameterType.IsGenericType || parameter.ParameterType.GetGenericTypeDefinition() != typeof(IPersistentState<>))
        {
            throw new NotSupportedException($"{activation.Class.Type.FullName}: the stand-in for Orleans has no facet for parameter {parameter.Name}.");
        }

        var make = typeof(GrainStateFactory).GetMethod(nameof(Make))!.MakeGenericMethod(parameter.ParameterType.GetGenericArguments());
        var state = make.Invoke(this, BindingFlags.DoNotWrapExceptions, null, [activation.GrainId, configuration.StateName, configuration.StorageName], null)!;
        activation.AddState((IStateReader)state);
        return state;
    }
}

/// <summary>One state of one grain.</summary>
internal sealed class StoredState<T>(SiloRuntime silo, string storage, string name, GrainId grain) : IPersistentState<T>, IStateReader
{
    private readonly Codec<T> _codec = Codecs.Slot<T>();

    [AllowNull]
    public T State { get; set; } = Default();

    public string? Etag { get; private set; }

    public bool RecordExists { get; private set; }

    public Task ReadAsync() => ReadStateAsync();

    public async Task ReadStateAsync()
    {
        await silo.Cluster.Storage.PassAsync(silo.Time);
        var record = silo.Cluster.Storage.Find(storage, name, grain);
        State = record is { } found ? _codec.Read(new MessageReader(found.Message, silo)) : Default();
        Etag = record?.Etag;
        RecordExists = record is not null;
    }

    public async Task WriteStateAsync()
    {
        var writer = MessageWriter.Rent();
        _codec.Write(writer, State);
        var message = writer.ToMessage();
        await silo.Cluster.Storage.PassAsync(silo.Time);
        Etag = silo.Cluster.Storage.Write(storage, name, grain, message, Etag);
        RecordExists = true;
    }

    public async Task ClearStateAsync()
    {
        await silo.Cluster.Storage.PassAsync(silo.Time);
        silo.Cluster.Storage.Clear(storage, name, grain);
        (State, Etag, RecordExists) = (Default(), null, false);
    }

    private static T Default() => typeof(T).IsValueType || typeof(T) == typeof(string) ? default! : Activator.CreateInstance<T>();
}
