using Granary.GrainInterfaces;
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
