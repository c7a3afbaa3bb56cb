using Granary.Engine;
using Granary.Engine.Prompts;
using Granary.Engine.Sampling;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Embeddings and prompt log-probabilities go client → router → replica → engine, and come back whole.</summary>
public sealed class PromptReadingTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    private static readonly int[] Prompt = GrainsFixture.Prompt(31, 70);

    [Fact]
    public async Task EmbedAsync_WholeWay_GivesTheEnginesVector()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());

        var mean = await fixture.Client.EmbedAsync(Embedding(model, Prompt));
        var last = await fixture.Client.EmbedAsync(Embedding(model, Prompt) with { Pooling = PoolingMethod.Last });

        Assert.Equal((await ReadAsync(Pooling.Mean)).Embedding, mean.Vector);
        Assert.Equal((await ReadAsync(Pooling.Last)).Embedding, last.Vector);
        Assert.Equal((0, 64), (mean.CachedTokens, last.CachedTokens));
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task EmbedAsync_ManyAtOnceOnTwoReplicas_EqualTheirSoloRuns()
    {
        var model = await fixture.DeployAsync(new ScriptedModel { Engine = new EngineOptions { MaxTokensPerStep = 40 } }, replicas: 2);

        var results = await Task.WhenAll(Enumerable.Range(1, 24).Select(i => fixture.Client.EmbedAsync(Embedding(model, Prompt[..(i * 2)]))));

        for (var i = 1; i <= 24; i++) Assert.Equal((await ReadAsync(Pooling.Mean, i * 2)).Embedding, results[i - 1].Vector);
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task EmbedAsync_TextFillsTheContext_IsTakenAndOneMoreIsRefused()
    {
        var model = await fixture.DeployAsync(new ScriptedModel { Device = new SimulatedDevice { ContextLength = 64 } });

        Assert.Equal(16, (await fixture.Client.EmbedAsync(Embedding(model, Prompt[..64]))).Vector.Length);
        var error = await Assert.ThrowsAsync<RequestRefusedException>(() => fixture.Client.EmbedAsync(Embedding(model, Prompt[..65])));

        Assert.Contains("at most 64", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task EmbedAsync_UnknownPooling_NamesTheField()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());

        var error = await Assert.ThrowsAsync<RequestRefusedException>(
            () => fixture.Client.EmbedAsync(Embedding(model, Prompt) with { Pooling = (PoolingMethod)9 }));

        Assert.Equal("pooling", error.Parameter);
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task EmbedAsync_EngineFails_TheNextLifeAnswers()
    {
        var model = await fixture.DeployAsync(new ScriptedModel
        {
            Prepare = (executor, number) => executor.BeforeStep = plan =>
            {
                if (number == 1 && plan.TokenCount > 1) throw new InvalidOperationException("The device is gone.");
            },
        });

        var result = await fixture.Client.EmbedAsync(Embedding(model, Prompt)).WaitAsync(GrainsFixture.Patience);

        Assert.NotEmpty(result.Vector);
        Assert.Equal(2, fixture.Engines.LoadsOf($"{model}/0"));
    }

    [Fact]
    public async Task EmbedAsync_OtherEpoch_IsRefusedWithBothEpochs()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var epoch = await fixture.EpochAsync(model);

        var error = await Assert.ThrowsAsync<EpochMismatchException>(() => fixture.Replica(model).EmbedAsync(Embedding(model, Prompt), epoch - 1));

        Assert.Equal((epoch - 1, epoch), (error.Asked, error.Actual));
    }

    [Fact]
    public async Task EmbedAsync_CallerCancels_ReleasesSequenceAndBooking()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var life = await fixture.Engines.Life($"{model}/0");
        life.Executor.Hold();
        var next = life.Engine.Load.Steps + 1;
        using var caller = new CancellationTokenSource();
        var embedding = fixture.Client.EmbedAsync(Embedding(model, Prompt), caller.Token);
        await life.Executor.StepReached(next).WaitAsync(GrainsFixture.Patience);

        await caller.CancelAsync();
        life.Executor.Release();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => embedding.WaitAsync(GrainsFixture.Patience));
        // A sequence admitted after it ends after it: then nothing of it is left.
        await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request(model, [1], maxTokens: 1)));
        Assert.Equal((0, 0), (life.Engine.Load.RunningSequences, life.Engine.Load.KvBlocksUsed));
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task EmbedAsync_DeadlinePassesWhileItRuns_IsATimeout()
    {
        var slow = new SimulatedDevice { PerStep = TimeSpan.FromMilliseconds(20) };
        var model = await fixture.DeployAsync(new ScriptedModel { Device = slow, Engine = new EngineOptions { MaxTokensPerStep = 1 } });

        await Assert.ThrowsAsync<TimeoutException>(
            () => fixture.Client.EmbedAsync(Embedding(model, Prompt) with { Deadline = DateTimeOffset.UtcNow.AddMilliseconds(200) }));

        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task GenerateAsync_PromptLogprobs_ComeWithTheFirstChunkOnly()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var request = GrainsFixture.Request(model, Prompt, maxTokens: 4) with { PromptLogprobs = 2 };

        var chunks = await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request));
        var none = await GrainsFixture.ReadAsync(
            fixture.Client.GenerateAsync(request with { Sampling = request.Sampling with { MaxTokens = 0 } }));

        Assert.Equal(await GrainsFixture.RunAloneAsync(request), chunks.Select(chunk => chunk.TokenId));
        AssertSame((await ReadAsync(null)).Logprobs!, chunks[0].PromptLogprobs!);
        Assert.All(chunks.Skip(1), chunk => Assert.Null(chunk.PromptLogprobs));
        var only = Assert.Single(none);
        Assert.Equal((0, -1, FinishReason.Length), (only.Index, only.TokenId, only.FinishReason));
        AssertSame((await ReadAsync(null)).Logprobs!, only.PromptLogprobs!);
    }

    private static EmbedRequest Embedding(string model, int[] ids) => new() { RequestId = Guid.NewGuid().ToString("N"), Model = model, TokenIds = ids };

    /// <summary>What an engine reads off the prompt when nothing is between it and the caller.</summary>
    private static async Task<PromptOutput> ReadAsync(Pooling? pooling, int length = 70)
    {
        await using var engine = InferenceEngine.Start(new EngineOptions(), new SimulatedExecutor(new()));
        await using var sequence = engine.TrySubmit(
            new EngineRequest
            {
                RequestId = "r",
                PromptTokenIds = Prompt[..length],
                Sampling = SamplingParameters.None,
                Pooling = pooling,
                PromptLogprobs = pooling is null ? 2 : null,
            },
            out var refusal) ?? throw new InvalidOperationException(refusal?.Message);
        await sequence.WaitToReadAsync();
        Assert.True(sequence.TryRead(out var token));
        return token.Prompt!;
    }

    private static void AssertSame(LogprobRow[] expected, TokenLogprobs[] actual)
    {
        Assert.Equal(expected.Select(row => row.Chosen), actual.Select(row => row.Chosen));
        Assert.Equal(expected.SelectMany(row => row.TopTokenIds), actual.SelectMany(row => row.TopTokenIds));
        Assert.Equal(expected.SelectMany(row => row.Top), actual.SelectMany(row => row.Top));
    }
}
