using Granary.GrainInterfaces;
using Granary.Sharding.Links;
using Granary.Silo.CommandLine;
using Granary.Silo.Hosting;
using Microsoft.Extensions.Configuration;

namespace Granary.Tests.Conformance;

/// <summary>Settings out of their bounds are told by name, value and bound.</summary>
public sealed class GranaryOptionsTests
{
    [Fact]
    public void Defaults_AreValid() => Assert.True(new GranaryOptionsValidator().Validate(null, new GranaryOptions()).Succeeded);

    [Fact]
    public void EveryFailure_IsTold()
    {
        var options = new GranaryOptions { Replicas = 65, ContextLength = 3 };
        options.Models.Add(" ");
        options.Cluster.SiloPort = 70_000;
        options.Gateway.MaxBodyBytes = 1;
        options.Gateway.MaxEmbeddingInputs = 0;
        options.Gateway.MaxEmbeddingTokens = 0;
        options.Gateway.Compatibility = (Compatibility)7;
        options.Gateway.EmbeddingPooling = (PoolingMethod)7;
        options.Gateway.ApiKeys.Add("hush");
        options.Gateway.CorsOrigins.Add("example.org");
        options.Gateway.CorsOrigins.Add("https://example.org/path");

        var result = new GranaryOptionsValidator().Validate(null, options);

        Assert.Equal(
            [
                "Granary:Models:0 is empty; it must be a model's name, a folder, or NAME=FOLDER.",
                "Granary:Replicas is 65; it must be from 1 to 64.",
                "Granary:ContextLength is 3; it must be from 16 to 1048576.",
                "Granary:Cluster:SiloPort is 70000; it must be from 0 to 65535.",
                "Granary:Gateway:MaxBodyBytes is 1; it must be from 1024 to 1073741824.",
                "Granary:Gateway:MaxEmbeddingInputs is 0; it must be from 1 to 65536.",
                "Granary:Gateway:MaxEmbeddingTokens is 0; it must be from 1 to 16777216.",
                "Granary:Gateway:Compatibility is 7; it must be Lenient or Strict.",
                "Granary:Gateway:EmbeddingPooling is 7; it must be Mean or Last.",
                "Granary:Gateway:ApiKeys:0 has 4 characters; a key has 8 to 512 visible ASCII characters.",
                "Granary:Gateway:CorsOrigins:0 is 'example.org'; it must be an origin such as https://example.org, or *.",
                "Granary:Gateway:CorsOrigins:1 is 'https://example.org/path'; it must be an origin such as https://example.org, or *.",
            ], result.Failures);
    }

    [Fact]
    public void EveryFailureOfKvTiers_IsTold()
    {
        var options = new GranaryOptions { Kv = new KvOptions { HostCacheBytes = -1 } };
        Assert.Equal(["Granary:Kv:HostCacheBytes is -1; it must be from 0 to 70368744177664."], new GranaryOptionsValidator().Validate(null, options).Failures);

        options.Kv = new KvOptions { HostCacheBytes = 0, DiskCacheBytes = 5 };
        Assert.Equal(
            [
                "Granary:Kv:DiskFolder is empty; with Granary:Kv:DiskCacheBytes 5 it must be a folder.",
                "Granary:Kv:HostCacheBytes is 0; with Granary:Kv:DiskCacheBytes 5 it must be above, as blocks go to the disk by way of memory.",
            ], new GranaryOptionsValidator().Validate(null, options).Failures);
    }

    [Fact]
    public void EveryFailureOfPartitionsAndLinks_IsTold()
    {
        var options = new GranaryOptions { Stages = -1, Ranks = 65, Silos = 17, Cores = -1, MemoryBytes = -1 };
        (options.Cluster.Redis, options.Cluster.SiloName, options.Cluster.Host, options.Cluster.Address) = ("redis", "a/b", " ", "0.0.0.0");
        options.Links = new LinksOptions
        {
            Endpoint = "udp://x",
            Secret = "hush",
            SecretFile = "f",
            CertificateFile = "c",
            WireFormat = (WireFormat)9,
            Credits = 1,
            SilenceMilliseconds = 99,
            StepTimeoutSeconds = 0,
            ConnectSeconds = 0,
        };

        var result = new GranaryOptionsValidator().Validate(null, options);

        Assert.Equal(
            [
                "Granary:Stages is -1; it must be from 0 to 1024.",
                "Granary:Ranks is 65; it must be from 0 to 64.",
                "Granary:Silos is 17; it must be from 1 to 16.",
                "Granary:Cores is -1; it must be from 0 to 4096.",
                "Granary:MemoryBytes is -1; it must be from 0 to 9223372036854775807.",
                "Granary:Cluster:SiloName is 'a/b'; it must have no '/', which separates names of silos and devices.",
                "Granary:Cluster:Host has 1 characters; it must have 1 to 100, not only spaces.",
                "Granary:Cluster:Address is '0.0.0.0'; it must be one IP address of this machine.",
                "Granary:Links:Endpoint is 'udp://x'; it must be tcp://host:port, unix:/path or memory:name.",
                "Granary:Links:Secret has 4 bytes; it must have 16 to 4096.",
                "Granary:Links:Secret and Granary:Links:SecretFile are both set; it must be one of them.",
                "Granary:Links:CertificateFile, KeyFile and AuthoritiesFile must be set together, or none of them.",
                "Granary:Links:WireFormat is 9; it must be Float32, Float16 or Int8.",
                "Granary:Links:Credits is 1; it must be from 2 to 1024.",
                "Granary:Links:SilenceMilliseconds is 99; it must be from 100 to 60000.",
                "Granary:Links:StepTimeoutSeconds is 0; it must be from 1 to 3600.",
                "Granary:Links:ConnectSeconds is 0; it must be from 1 to 300.",
                "Granary:Silos is 17 and Granary:Cluster:Redis is set; silos of one process are a cluster of their own.",
                "Granary:Silos is 17 and Granary:Links:Endpoint is 'udp://x'; silos of one process have an endpoint each, and choose it.",
            ], result.Failures);
    }

    [Fact]
    public void PartitionsInACluster_NeedASecret()
    {
        var options = new GranaryOptions { Stages = 2 };
        options.Cluster.Redis = "redis";

        Assert.Contains("Granary:Links:Secret is not set", new GranaryOptionsValidator().Validate(null, options).FailureMessage);
        options.Links.Secret = "sixteen bytes or more";
        Assert.True(new GranaryOptionsValidator().Validate(null, options).Succeeded);
    }

    [Theory]
    [InlineData(1, 1, 1, 2, 2)]
    [InlineData(1, 2, 1, 4, 2)]
    [InlineData(3, 3, 1, 2, 1)]
    [InlineData(3, 3, 2, 12, 2)]
    [InlineData(2, 0, 0, 8, 4)]
    public void Threads_LeftOpen_DivideTheCores(int silos, int stages, int ranks, int cores, int expected)
    {
        using var group = new SiloGroup(new GranaryOptions { Silos = silos, Stages = stages, Ranks = ranks, Cores = cores });

        Assert.Equal(expected, group.Threads);
        Assert.Equal(Math.Max(cores, silos), Enumerable.Range(0, silos).Sum(group.CoresOf));
    }

    /// <summary>A word that is no value ends the command with its message, and not with a defect's trace.</summary>
    [Theory]
    [InlineData("Granary:Gateway:Compatibility")]
    [InlineData("Granary:Gateway:MaxChoices")]
    [InlineData("Granary:Quantize")]
    public void ValueOfTheWrongKind_IsExpected_AndNamed(string key)
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection([new(key, "odd")]).Build();

        var exception = Assert.ThrowsAny<Exception>(() => GranaryHost.Read(configuration));

        Assert.True(GranaryCommand.IsExpected(exception));
        Assert.Contains(key, exception.Message);
        Assert.Contains("odd", exception.Message);
    }
}
