using Granary.Silo.Hosting;

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

        var result = new GranaryOptionsValidator().Validate(null, options);

        Assert.Equal(
            [
                "Granary:Models:0 is empty; it must be a model's name, a folder, or NAME=FOLDER.",
                "Granary:Replicas is 65; it must be from 1 to 64.",
                "Granary:ContextLength is 3; it must be from 16 to 1048576.",
                "Granary:Cluster:SiloPort is 70000; it must be from 0 to 65535.",
                "Granary:Gateway:MaxBodyBytes is 1; it must be from 1024 to 1073741824.",
            ], result.Failures);
    }
}
