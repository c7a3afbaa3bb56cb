using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Orleans.Runtime;

namespace Orleans
{
    /// <summary>One grain's state on its way to a storage and back.</summary>
    public interface IGrainState<T>
    {
        T State { get; set; }

        string? ETag { get; set; }

        bool RecordExists { get; set; }
    }

    public sealed class GrainState<T> : IGrainState<T>
    {
        public GrainState()
        {
        }

        public GrainState(T state)
            : this(state, null)
        {
        }

        public GrainState(T state, string? eTag)
        {
            State = state;
            ETag = eTag;
        }

        public T State { get; set; } = default!;

        public string? ETag { get; set; }

        public bool RecordExists { get; set; }
    }
}

namespace Orleans.Storage
{
    /// <summary>Keeps grains' states.</summary>
    public interface IGrainStorage
    {
        Task ReadStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState);

        Task WriteStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState);

        Task ClearStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState);
    }

    /// <summary>States as bytes.</summary>
    public interface IGrainStorageSerializer
    {
        BinaryData Serialize<T>(T input);

        T Deserialize<T>(BinaryData input);
    }
}

namespace Orleans.Runtime.Hosting
{
    public static class StorageProviderExtensions
    {
        public static IServiceCollection AddGrainStorage<T>(this IServiceCollection collection, string name, Func<IServiceProvider, string, T> implementationFactory)
            where T : Storage.IGrainStorage
        {
            collection.AddKeyedSingleton<Storage.IGrainStorage>(name, (provider, key) => implementationFactory(provider, (string)key!));
            if (name == "Default") collection.TryAddSingleton(provider => provider.GetRequiredKeyedService<Storage.IGrainStorage>("Default"));
            return collection;
        }
    }
}
