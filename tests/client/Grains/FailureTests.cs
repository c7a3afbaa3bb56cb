using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.Tests.Client.Support;
using Granary.Tests.Support;
using Orleans.Runtime;

namespace Granary.Tests.Client.Grains;

/// <summary>What the cluster's errors become, what is tried again, and what one choice's end means for the others.</summary>
public sealed class FailureTests(SimulatedCluster cluster) : IClassFixture<SimulatedCluster>
{
    private static readonly TimeSpan Base = TimeSpan.FromSeconds(1);

    public static TheoryData<Exception, Type> Errors() => new()
    {
        { new RequestRefusedException("No.", "seed"), typeof(GranaryRequestException) },
        { new ModelNotReadyException("No.", Base), typeof(GranaryUnavailableException) },
        { new ReplicaSaturatedException("No.", Base), typeof(GranaryUnavailableException) },
        { new EpochMismatchException("No.", 1, 2), typeof(GranaryUnavailableException) },
        { new OrleansException("No."), typeof(GranaryUnavailableException) },
        { new ReplicaFailedException("No."), typeof(GranaryGenerationException) },
    };

    [Theory, MemberData(nameof(Errors), DisableDiscoveryEnumeration = true)]
    public async Task ErrorsOfTheCluster_AreTyped(Exception error, Type type)
    {
        var model = await cluster.DeployAsync();
        var generation = new ScriptedGeneration(ScriptedGeneration.Fails(error));

        var (_, seen) = await cluster.Client(generation).ChatAsync(Updates.Ask(model: model)).ReadToErrorAsync<GranaryClientException>();

        Assert.IsType(type, seen);
        Assert.Same(error, seen.InnerException);
        Assert.Equal(generation.Asked[0].RequestId, seen.RequestId);
        if (seen is GranaryRequestException refused) Assert.Equal("seed", refused.Parameter);
    }

    [Fact]
    public async Task WhatNobodyTook_IsTriedAgain_AfterThePauseAskedFor()
    {
        var time = new ManualTime();
        var model = await cluster.DeployAsync();
        var generation = new ScriptedGeneration(
            ScriptedGeneration.Fails(new ReplicaSaturatedException("Full.", TimeSpan.FromSeconds(5))), ScriptedGeneration.Gives(3));
        var client = cluster.Client(generation, time, new() { MaxRetries = 2, RetryBaseDelay = Base });

        var reading = client.ChatAsync(Updates.Ask(model: model)).ReadAsync();
        await time.ArmedTimes(2).WaitAsync(Updates.Patience); // The deadline's timer is the first.
        Assert.InRange(time.NextDue, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(5) + (Base / 2));
        time.Advance(time.NextDue);

        Assert.Equal(3, (await reading.WaitAsync(Updates.Patience))[^1].Usage!.CompletionTokens);
        Assert.Equal(2, generation.Asked.Count);
        Assert.Equal(generation.Asked[0], generation.Asked[1]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task AfterTheRetriesAllowed_TheRefusalIsTheCallers(int retries)
    {
        var model = await cluster.DeployAsync();
        var generation = new ScriptedGeneration(ScriptedGeneration.Fails(new ReplicaSaturatedException("Full.", TimeSpan.Zero)));
        var client = cluster.Client(generation, options: new() { MaxRetries = retries, RetryBaseDelay = TimeSpan.FromMilliseconds(1) });

        await client.ChatAsync(Updates.Ask(model: model)).ReadToErrorAsync<GranaryUnavailableException>();

        Assert.Equal(retries + 1, generation.Asked.Count);
    }

    [Fact]
    public async Task AfterTheFirstToken_NothingIsTriedAgain()
    {
        var model = await cluster.DeployAsync();
        var generation = new ScriptedGeneration(ScriptedGeneration.Fails(new ModelNotReadyException("Gone.", TimeSpan.Zero), tokens: 2), ScriptedGeneration.Gives(9));
        var client = cluster.Client(generation, options: new() { RetryBaseDelay = TimeSpan.FromMilliseconds(1) });

        await client.ChatAsync(Updates.Ask(model: model)).ReadToErrorAsync<GranaryClientException>();

        Assert.Single(generation.Asked);
    }

    [Fact]
    public async Task ChoicesOfOnePrompt_AreOneGroup()
    {
        var model = await cluster.DeployAsync();
        var generation = new ScriptedGeneration(ScriptedGeneration.Gives(1));

        await cluster.Client(generation).ChatAsync(Updates.Ask(settings: new() { Choices = 3 }, model: model)).ReadAsync();
        await cluster.Client(generation).ChatAsync(Updates.Ask(model: model)).ReadAsync();

        var group = Assert.Single(generation.Asked.Take(3).Select(request => request.Group).Distinct());
        Assert.NotNull(group);
        Assert.Equal([0, 1, 2], generation.Asked.Take(3).Select(request => request.Choice).Order());
        Assert.Equal(4, generation.Asked.Select(request => request.RequestId).Distinct().Count());
        Assert.Single(generation.Asked.Take(3).Select(request => request.Sampling.Seed).Distinct());
        Assert.Null(generation.Asked[3].Group);
    }

    [Fact]
    public async Task OneChoiceThatFails_EndsTheOthers()
    {
        var model = await cluster.DeployAsync();
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var generation = new ScriptedGeneration(ScriptedGeneration.Hangs(cancelled), ScriptedGeneration.Fails(new ReplicaFailedException("Lost.")));

        var (_, error) = await cluster.Client(generation).ChatAsync(Updates.Ask(settings: new() { Choices = 2 }, model: model)).ReadToErrorAsync<GranaryGenerationException>();

        Assert.Equal("Lost.", error.Message);
        Assert.True(cancelled.Task.IsCompleted);
    }

    /// <summary>A reader that pauses does not hold the cluster up before the buffer is full, and gets everything.</summary>
    [Fact]
    public async Task PausingReader_GetsEverything()
    {
        const int Tokens = 3 * ChoiceRunner.BufferedUpdates;
        var model = await cluster.DeployAsync();
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var generation = new ScriptedGeneration(_ => EndingAsync(ScriptedGeneration.Gives(100)(_)), ScriptedGeneration.Gives(Tokens));
        var client = cluster.Client(generation);

        await using var paused = client.ChatAsync(Updates.Ask(model: model)).GetAsyncEnumerator();
        Assert.True(await paused.MoveNextAsync());
        await ended.Task.WaitAsync(Updates.Patience); // All tokens were fetched, and nobody has read on.
        var rest = 0;
        while (await paused.MoveNextAsync()) rest++;

        Assert.Equal(101, rest); // 99 tokens, the end and the usage.
        Assert.Equal(Tokens, (await client.ChatAsync(Updates.Ask(model: model)).ReadAsync())[^1].Usage!.CompletionTokens);

        async IAsyncEnumerable<TokenChunk> EndingAsync(IAsyncEnumerable<TokenChunk> chunks)
        {
            await foreach (var chunk in chunks)
            {
                if (chunk.FinishReason is not null) ended.SetResult();
                yield return chunk;
            }
        }
    }

    [Fact]
    public async Task EndOfTheDeadline_IsATimeout()
    {
        var model = await cluster.DeployAsync();
        var generation = new ScriptedGeneration(ScriptedGeneration.Gives(2, FinishReason.Deadline));

        await cluster.Client(generation).ChatAsync(Updates.Ask(model: model)).ReadToErrorAsync<TimeoutException>();
    }

    [Fact]
    public async Task Embeddings_AreCutAndOfLengthOne_InTheirOrder()
    {
        var model = await cluster.DeployAsync();
        var generation = new ScriptedGeneration { Embed = request => new([request.TokenIds.Length, 0, 4, 99], 0) };

        var response = await cluster.Client(generation).EmbedAsync(new() { Model = model, Inputs = ["Hello there", "Hello there, all of you"], Dimensions = 3 });

        var lengths = generation.Embedded.OrderBy(request => request.RequestId, StringComparer.Ordinal).Select(request => request.TokenIds.Length).ToArray();
        Assert.Equal((model, lengths.Sum()), (response.Model, response.PromptTokens));
        for (var i = 0; i < 2; i++)
        {
            var norm = MathF.Sqrt((lengths[i] * lengths[i]) + 16);
            Assert.Equal([lengths[i] / norm, 0, 4 / norm], response.Vectors[i].ToArray().Select(component => (double)component), (a, b) => Math.Abs(a - b) < 1e-6);
        }
    }

    [Fact]
    public async Task EmbeddingsOutOfBounds_AreRefused()
    {
        var model = await cluster.DeployAsync();
        await RefuseAsync(new() { Inputs = [] }, "input", "input is a list of 0; it must be a list of 1 to 2048 texts.");
        await RefuseAsync(new() { Inputs = ["a"], Dimensions = 9 }, "dimensions", "dimensions is 9; it must be an integer from 1 to 8.");
        await RefuseAsync(new() { Inputs = ["a", ""] }, "input", "input[1] is empty; it must have at least one token.");
        await RefuseAsync(new() { Inputs = [string.Concat(Enumerable.Repeat("0 ", 1024))] }, "input", null);

        async Task RefuseAsync(EmbeddingRequest request, string parameter, string? message)
        {
            var error = await Assert.ThrowsAsync<GranaryRequestException>(() => cluster.Client(new ScriptedGeneration()).EmbedAsync(request with { Model = model }));
            Assert.Equal(parameter, error.Parameter);
            if (message is null) Assert.Equal("context_length_exceeded", error.Code);
            else Assert.Equal(message, error.Message);
        }
    }
}
