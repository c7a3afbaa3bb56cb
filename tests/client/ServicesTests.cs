using Granary.Client;
using Granary.Tests.Client.Grains;
using Granary.Tests.Client.Support;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Granary.Tests.Client;

/// <summary>What <see cref="GranaryClientExtensions"/> register, and what they refuse.</summary>
public sealed class ServicesTests(SimulatedCluster cluster) : IClassFixture<SimulatedCluster>
{
    [Fact]
    public async Task WithAnEndpoint_ItSpeaksHttp_ThroughTheNamedClient()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Says("hi"), GatewayServer.Says("there"));
        var services = new ServiceCollection().AddGranaryClient(options =>
        {
            options.Endpoint = server.Address;
            options.DefaultModel = "tiny";
        });
        services.AddHttpClient(GranaryClientOptions.HttpClientName).AddHttpMessageHandler(() => new MarkingHandler());
        // What hosts check in development, and the way of disposing that is not asynchronous.
        using var provider = services.BuildServiceProvider(new ServiceProviderOptions { ValidateOnBuild = true, ValidateScopes = true });

        Assert.Equal("hi", (await provider.GetRequiredService<GranaryClient>().ChatAsync(Updates.Ask()).ReadAsync()).Text());
        Assert.Equal("there", (await provider.GetRequiredService<IChatClient>().GetResponseAsync("Hello")).Text);
        Assert.All(server.Received, request => Assert.Equal(("yes", "tiny"), (request.Headers["marked"], (string?)request.Body!["model"])));
        Assert.Equal(server.Address, provider.GetRequiredService<IChatClient>().GetService<ChatClientMetadata>()!.ProviderUri);
    }

    [Fact]
    public async Task WithoutAnEndpoint_ItCallsGrains()
    {
        var model = await cluster.DeployAsync();
        await using var provider = new ServiceCollection().AddLogging().AddSingleton(cluster.Grains)
            .AddGranaryClient(options => options.DefaultModel = model).BuildServiceProvider();

        var client = provider.GetRequiredService<GranaryClient>();

        Assert.Null(client.Endpoint);
        Assert.Contains(model, (await client.GetModelsAsync()).Select(info => info.Name));
        Assert.Equal(model, (await provider.GetRequiredService<IChatClient>().GetResponseAsync("Hello", new() { MaxOutputTokens = 2 })).ModelId);
        Assert.Same(client, provider.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>().GetService(typeof(GranaryClient)));
    }

    [Fact]
    public async Task WithoutEndpointAndGrains_ItTellsWhatIsMissing()
    {
        await using var provider = new ServiceCollection().AddLogging().AddGranaryClient().BuildServiceProvider();

        var error = Assert.Throws<InvalidOperationException>(provider.GetRequiredService<GranaryClient>);

        Assert.Contains("UseOrleansClient", error.Message, StringComparison.Ordinal);
        Assert.Contains("GranaryClientOptions.Endpoint", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task GenerationAlone_AddsNoTextClient()
    {
        await using var provider = new ServiceCollection().AddLogging().AddSingleton(cluster.Grains).AddGranaryGeneration().BuildServiceProvider();

        Assert.NotNull(provider.GetService<IGenerationClient>());
        Assert.Null(provider.GetService<GranaryClient>());
        Assert.Null(provider.GetService<IChatClient>());
    }

    [Fact]
    public async Task Host_DoesNotStartWithOptionsOutOfBounds_AndNamesAllOfThem()
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddGranaryClient(options =>
        {
            options.MaxRetries = 11;
            options.Timeout = TimeSpan.Zero;
        });
        using var host = builder.Build();

        var error = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync());

        Assert.Equal(
            ["GranaryClientOptions.Timeout is 00:00:00; it must be from 00:00:00.0010000 to 1.00:00:00.", "GranaryClientOptions.MaxRetries is 11; it must be from 0 to 10."],
            error.Failures);
    }

    public static TheoryData<string, Action<GranaryClientOptions>> OutOfBounds() => new()
    {
        { "Endpoint is ftp://host/; it must be an absolute address that begins with http:// or https://.", options => options.Endpoint = new("ftp://host/") },
        { "Endpoint is /v1; it must be an absolute address that begins with http:// or https://.", options => options.Endpoint = new("/v1", UriKind.Relative) },
        { "Endpoint is http://host/; it must be an address without user, query and fragment.", options => options.Endpoint = new("http://user:secret@host/") },
        { "Endpoint is missing; a client over HTTP needs it.", options => options.Endpoint = null },
        { "ApiKey is a text of 3 characters; it must be 1 to 4096 visible ASCII characters.", options => options.ApiKey = "a\nb" },
        { "DefaultModel is a text of 0 characters; it must be 1 to 256 characters long.", options => options.DefaultModel = "" },
        { "MaxRetries is -1; it must be from 0 to 10.", options => options.MaxRetries = -1 },
        { "RetryBaseDelay is 00:00:00; it must be from 00:00:00.0010000 to 00:01:00.", options => options.RetryBaseDelay = TimeSpan.Zero },
    };

    [Theory, MemberData(nameof(OutOfBounds), DisableDiscoveryEnumeration = true)]
    public void Connect_RefusesOptionsOutOfBounds(string message, Action<GranaryClientOptions> change)
    {
        var options = new GranaryClientOptions { Endpoint = new("http://127.0.0.1:1") };
        change(options);

        var error = Assert.Throws<ArgumentException>(() => GranaryClient.Connect(options));

        Assert.StartsWith($"GranaryClientOptions.{message}", error.Message, StringComparison.Ordinal);
    }

    private sealed class MarkingHandler : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.Add("marked", "yes");
            return base.SendAsync(request, cancellationToken);
        }
    }
}
