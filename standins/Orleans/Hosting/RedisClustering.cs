using Microsoft.Extensions.DependencyInjection;
using Orleans.Clustering.Redis;
using Orleans.Hosting;
using Orleans.Runtime;

namespace Orleans.Clustering.Redis
{
    /// <summary>Accepted so that the same code compiles; the connection's own options are the genuine package's.</summary>
    public class RedisClusteringOptions
    {
        public TimeSpan? EntryExpiry { get; set; }
    }
}

namespace Microsoft.Extensions.Hosting
{
    public static class RedisClusteringISiloBuilderExtensions
    {
        public static ISiloBuilder UseRedisClustering(this ISiloBuilder builder, Action<RedisClusteringOptions> configuration) => builder.ConfigureServices(RedisRefusal.Add);

        public static ISiloBuilder UseRedisClustering(this ISiloBuilder builder, string redisConnectionString) => builder.ConfigureServices(RedisRefusal.Add);
    }

    public static class RedisClusteringIClientBuilderExtensions
    {
        public static IClientBuilder UseRedisClustering(this IClientBuilder builder, Action<RedisClusteringOptions> configuration) => builder.ConfigureServices(RedisRefusal.Add);

        public static IClientBuilder UseRedisClustering(this IClientBuilder builder, string redisConnectionString) => builder.ConfigureServices(RedisRefusal.Add);
    }

    internal static class RedisRefusal
    {
        public static void Add(IServiceCollection services) => services.AddSingleton(new StartRefusal(
            "Redis clustering needs the genuine Microsoft.Orleans packages: this build uses the in-process stand-in, which forms no cluster of several processes."));
    }
}
