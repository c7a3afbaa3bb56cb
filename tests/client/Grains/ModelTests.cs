using Granary.Client;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.Tests.Client.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Client.Grains;

/// <summary>How a model is found, and how long what was learnt of it is kept. A cluster of its own: these tests look at all its models.</summary>
public sealed class ModelTests(SimulatedCluster cluster) : IClassFixture<SimulatedCluster>
{
    [Fact]
    public async Task OnlyModel_NeedsNoName_AndSeveralDo()
    {
        Assert.Empty(await cluster.Client().GetModelsAsync());
        var (_, none) = await cluster.Client().ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryUnavailableException>();
        Assert.NotNull(none.RetryAfter);

        var first = await cluster.DeployAsync();
        Assert.Equal(first, (await cluster.Client().ChatAsync(Updates.Ask(settings: new() { MaxTokens = 1 })).ReadAsync())[0].Model);
        var second = await cluster.DeployAsync();
        var (_, error) = await cluster.Client().ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryRequestException>();
        Assert.Equal(("model", "model is missing; several are served."), (error.Parameter, error.Message));

        Assert.Equal(
            [.. new[] { first, second }.Order(StringComparer.Ordinal).Select(name => new ModelInfo(name, DateTimeOffset.UnixEpoch, SimulatedCluster.ContextLength))],
            await cluster.Client().GetModelsAsync());
        var named = cluster.Client(options: new() { DefaultModel = second });
        Assert.Equal(second, (await named.ChatAsync(Updates.Ask(settings: new() { MaxTokens = 1 })).ReadAsync())[0].Model);

        await cluster.ScaleAsync(first, 0);
        await cluster.ScaleAsync(second, 0);
        Assert.Empty(await cluster.Client().GetModelsAsync());
    }

    [Theory]
    [InlineData("nobody-deployed-this", "The model 'nobody-deployed-this' does not exist here.", "model_not_found")]
    [InlineData("", "model is \"\"; it must be 1 to 256 characters long.", "invalid_value")]
    public async Task UnknownModel_IsRefused(string name, string message, string code)
    {
        var (_, error) = await cluster.Client().ChatAsync(Updates.Ask(model: name)).ReadToErrorAsync<GranaryRequestException>();

        Assert.Equal(("model", message, code), (error.Parameter, error.Message, error.Code));
    }

    [Fact]
    public async Task ModelThatIsNotOpenedYet_IsNotReady()
    {
        var model = cluster.Grains.GetGrain<IModelGrain>($"model-{Guid.NewGuid():N}");

        await Assert.ThrowsAsync<ModelNotReadyException>(() => model.GetCardAsync());
        await Assert.ThrowsAsync<ModelNotReadyException>(() => model.GetTextFilesAsync());
    }

    [Fact]
    public async Task TextFiles_AreReadOnceForAFingerprint()
    {
        var fingerprint = Guid.NewGuid().ToString("N");
        var (first, second, other) = (await cluster.DeployAsync(fingerprint), await cluster.DeployAsync(fingerprint), await cluster.DeployAsync());
        var client = cluster.Client();
        var before = cluster.Models.Readings;

        var ids = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => client.TokenizeAsync(i % 2 == 0 ? first : second, "Hello there")));

        Assert.All(ids, found => Assert.Equal(ids[0], found));
        Assert.Equal(before + 1, cluster.Models.Readings);
        Assert.Equal("Hello there", await client.DetokenizeAsync(other, ids[0]));
        Assert.Equal(before + 2, cluster.Models.Readings);
        foreach (var name in new[] { first, second, other }) await cluster.ScaleAsync(name, 0);
    }

    [Fact]
    public async Task ModelDeployedAnew_IsNoticedOnceItsCardIsOld()
    {
        var time = new ManualTime();
        var model = await cluster.DeployAsync();
        var client = cluster.Client(time: time);
        await client.TokenizeAsync(model, "a");
        var before = cluster.Models.Readings;

        cluster.Models.Fingerprints[model] = Guid.NewGuid().ToString("N");
        await cluster.ScaleAsync(model, 1);
        await client.TokenizeAsync(model, "a");
        Assert.Equal(before, cluster.Models.Readings);
        time.Advance(TextModels.CardLifetime);
        await client.TokenizeAsync(model, "a");

        Assert.Equal(before + 1, cluster.Models.Readings);
        await cluster.ScaleAsync(model, 0);
    }

    [Fact]
    public async Task FilesOfOtherWeights_AreNotTaken()
    {
        var model = await cluster.DeployAsync();
        cluster.Models.FilesOf[model] = "other";
        var client = cluster.Client();

        await Assert.ThrowsAsync<GranaryUnavailableException>(() => client.TokenizeAsync(model, "a"));
        cluster.Models.FilesOf.TryRemove(model, out _);

        Assert.NotEmpty(await client.TokenizeAsync(model, "a")); // What failed was not kept.
        await cluster.ScaleAsync(model, 0);
    }

    [Fact]
    public async Task Index_ForgetsWhoIsSilent()
    {
        var time = new ManualTime();
        var index = new Granary.Grains.Models.ModelIndexGrain(Microsoft.Extensions.Options.Options.Create(new Granary.Grains.ModelGrainOptions()), time);
        ModelCard Card(string name) => new() { Name = name, Fingerprint = "", ContextLength = 1, VocabularySize = 1, HiddenSize = 1, Created = default };

        await index.AnnounceAsync(Card("b"));
        time.Advance(TimeSpan.FromSeconds(10));
        await index.AnnounceAsync(Card("a"));
        Assert.Equal(["a", "b"], (await index.ListAsync()).Select(card => card.Name));
        time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(["a"], (await index.ListAsync()).Select(card => card.Name));
        await index.WithdrawAsync("a");
        Assert.Empty(await index.ListAsync());
    }
}
