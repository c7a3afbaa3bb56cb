using System.Collections.Immutable;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Hosting;

namespace Orleans.Runtime.MembershipService.SiloMetadata;

/// <summary>What a silo tells the others of itself, fixed for its life.</summary>
[GenerateSerializer]
public record SiloMetadata
{
    public static SiloMetadata Empty { get; } = new();

    [Id(0)]
    public ImmutableDictionary<string, string> Metadata { get; private set; } = ImmutableDictionary<string, string>.Empty;

    internal void AddMetadata(string key, string value) => Metadata = Metadata.SetItem(key, value);
}

/// <summary>Metadata of every silo of the cluster.</summary>
public interface ISiloMetadataCache
{
    /// <summary>Empty for a silo that has none or is not known.</summary>
    SiloMetadata GetSiloMetadata(SiloAddress siloAddress);
}

public static class SiloMetadataHostingExtensions
{
    /// <summary>From the configuration section <c>Orleans:Metadata</c>.</summary>
    public static ISiloBuilder UseSiloMetadata(this ISiloBuilder builder) => builder.UseSiloMetadata(builder.Configuration);

    public static ISiloBuilder UseSiloMetadata(this ISiloBuilder builder, IConfiguration configuration) =>
        builder.UseSiloMetadata(configuration.GetSection("Orleans").GetSection("Metadata"));

    public static ISiloBuilder UseSiloMetadata(this ISiloBuilder builder, IConfigurationSection configurationSection) =>
        builder.UseSiloMetadata(configurationSection.GetChildren().Where(child => child.Value is not null).ToDictionary(child => child.Key, child => child.Value!));

    public static ISiloBuilder UseSiloMetadata(this ISiloBuilder builder, Dictionary<string, string> metadata)
    {
        builder.Services.Configure<SiloMetadataOptions>(options =>
        {
            foreach (var (key, value) in metadata) options.Values[key] = value;
        });
        builder.Services.AddSingleton<ISiloMetadataCache, SiloMetadataView>();
        return builder;
    }
}

internal sealed class SiloMetadataOptions
{
    public Dictionary<string, string> Values { get; } = [];

    public SiloMetadata Build()
    {
        var metadata = new SiloMetadata();
        foreach (var (key, value) in Values) metadata.AddMetadata(key, value);
        return metadata;
    }
}

internal sealed class SiloMetadataView(SiloRuntime silo) : ISiloMetadataCache
{
    public SiloMetadata GetSiloMetadata(SiloAddress siloAddress) => silo.Cluster.SiloAt(siloAddress)?.Metadata ?? SiloMetadata.Empty;
}
