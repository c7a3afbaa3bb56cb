using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Grains;

/// <summary>What the client makes of a replica that does not keep to the contract, or is lost.</summary>
public sealed class GenerationClientTests
{
    private const long Epoch = 7;

    [Fact]
    public async Task ChunksOfAnotherLifeOrTold_AreDropped()
    {
        var world = new World((_, _) => Stream(Token(0), Token(0), Token(1, epoch: Epoch - 1), Token(1), Token(0), End(2)));

        var chunks = await GrainsFixture.ReadAsync(world.Client.GenerateAsync(GrainsFixture.Request("m", [1])));

        Assert.Equal([0, 1, 2], chunks.Select(chunk => chunk.Index));
        Assert.All(chunks, chunk => Assert.Equal(Epoch, chunk.Epoch));
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task MissingToken_AnotherLifeGivesIt()
    {
        var world = new World((replica, _) => replica == "m/1" ? Stream(Token(0), Token(2), End(3)) : Stream(Token(1), Token(2), End(3)));

        var chunks = await GrainsFixture.ReadAsync(world.Client.GenerateAsync(GrainsFixture.Request("m", [1])));

        Assert.Equal([0, 1, 2, 3], chunks.Select(chunk => chunk.Index));
        Assert.Equal([new ReplicaLife("m/1", Epoch)], world.Routes[1].Lost);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task NoEnd_AnotherLifeGivesIt()
    {
        var world = new World((replica, _) => replica == "m/1" ? Stream(Token(0), Token(1)) : Stream(End(2)));

        var chunks = await GrainsFixture.ReadAsync(world.Client.GenerateAsync(GrainsFixture.Request("m", [1])));

        Assert.Equal([0, 1, 2], chunks.Select(chunk => chunk.Index));
    }

    [Fact]
    public async Task EveryLifeIsLost_EndsAfterTheMostThatMayBe()
    {
        var world = new World(
            (_, _) => Stream(new SiloUnavailableException("The activation is gone."), Enumerable.Range(0, 9).Select(i => Token(i)).ToArray()),
            survival: new() { MaxLives = 3 });

        var (delivered, error) = await ReadToErrorAsync(world);

        Assert.Equal(Enumerable.Range(0, 9), delivered);
        Assert.Contains("The activation is gone.", Assert.IsType<ReplicaFailedException>(error).Message);
        Assert.Equal(3, world.Booked.Count);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task SiloGoneBeforeTheFirstToken_AnotherReplicaAnswers()
    {
        var world = new World((replica, _) => replica == "m/1" ? Stream(new SiloUnavailableException("gone")) : Stream(Token(0), End(1)));

        var chunks = await GrainsFixture.ReadAsync(world.Client.GenerateAsync(GrainsFixture.Request("m", [1])));

        Assert.Equal(2, chunks.Count);
        Assert.Equal([new ReplicaLife("m/1", Epoch)], world.Routes[^1].Excluded);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task OtherLifeTwice_IsNotReadyAfterTwoTickets()
    {
        var world = new World((_, epoch) => Stream(new EpochMismatchException("other life", epoch, epoch + 1)));

        var (_, error) = await ReadToErrorAsync(world);

        Assert.IsType<ModelNotReadyException>(error);
        Assert.Equal(2, world.Booked.Count);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task Refused_IsNotTriedElsewhere()
    {
        var world = new World((_, _) => Stream(new RequestRefusedException("top_p is 2; it must be at most 1.", "top_p")));

        var (_, error) = await ReadToErrorAsync(world);

        Assert.Equal("top_p", Assert.IsType<RequestRefusedException>(error).Parameter);
        Assert.Single(world.Booked);
    }

    [Fact]
    public async Task ReleaseIsLost_IsSentAgainBehindTheAnswer()
    {
        var world = new World((_, _) => Stream(Token(0), End(1))) { LostReleases = 3 };

        Assert.Equal(2, (await GrainsFixture.ReadAsync(world.Client.GenerateAsync(GrainsFixture.Request("m", [1])))).Count);

        await world.FirstRelease.WaitAsync(GrainsFixture.Patience);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task TicketsAnswerIsLost_IsAskedForAgainByTheSameBooking()
    {
        var world = new World((_, _) => Stream(Token(0), End(1))) { LostAnswers = 2 };

        Assert.Equal(2, (await GrainsFixture.ReadAsync(world.Client.GenerateAsync(GrainsFixture.Request("m", [1])))).Count);

        Assert.Equal(3, world.Routes.Count);
        Assert.Equal(world.Booked, world.Routes.Select(route => route.BookingId).Distinct());
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task LeftWhileTheTicketIsUnderWay_GivesTheBookingBack()
    {
        var world = new World((_, _) => Stream(Token(0), End(1))) { LostAnswers = int.MaxValue };
        using var left = new CancellationTokenSource();
        var reading = GrainsFixture.ReadAsync(world.Client.GenerateAsync(GrainsFixture.Request("m", [1]), left.Token));

        await left.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
        await world.FirstRelease.WaitAsync(GrainsFixture.Patience);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task ReplicaHangs_DeadlineEndsTheRequest()
    {
        var time = new ManualTime();
        var world = new World((_, _) => Hanging(Token(0)), time);
        var request = GrainsFixture.Request("m", [1]) with { Deadline = time.GetUtcNow().AddSeconds(10) };

        var chunks = new List<TokenChunk>();
        await foreach (var chunk in world.Client.GenerateAsync(request))
        {
            chunks.Add(chunk);
            if (chunk.Index == 0) time.Advance(TimeSpan.FromSeconds(12));
        }

        Assert.Equal((1, -1, FinishReason.Deadline), (chunks[^1].Index, chunks[^1].TokenId, chunks[^1].FinishReason));
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task EmbedTurnedAwayOnce_AnotherReplicaAnswers()
    {
        var world = World.OfEmbeddings((replica, _) => replica == "m/1" ? Task.FromException<EmbedResult>(new ReplicaSaturatedException("full", TimeSpan.FromSeconds(1))) : Task.FromResult(new EmbedResult([1, 2], 3)));

        var result = await world.Client.EmbedAsync(Embedding([1, 2, 3]));

        Assert.Equal([1, 2], result.Vector);
        Assert.Equal([new ReplicaLife("m/1", Epoch)], world.Routes[^1].Excluded);
        Assert.Equal((3, 0), (world.Routes[0].PromptTokens, world.Routes[0].MaxTokens));
        Assert.Equal(world.Booked, world.Released);
    }

    [Theory]
    [InlineData(true, 2)]
    [InlineData(false, 5)]
    public async Task EmbedFails_IsTheTypedErrorAndGivesBookingsBack(bool saturated, int tickets)
    {
        var world = World.OfEmbeddings((_, _) => throw (saturated ? new ReplicaSaturatedException("full", TimeSpan.FromSeconds(1)) : new TimeoutException("The silo is silent.")));

        var error = await Record.ExceptionAsync(() => world.Client.EmbedAsync(Embedding([1])));

        Assert.IsType(saturated ? typeof(ReplicaSaturatedException) : typeof(ReplicaFailedException), error);
        Assert.Equal(tickets, world.Booked.Count);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task EmbedInFailedStep_ComesBackSuspect_AndIsAnswered()
    {
        var world = World.OfEmbeddings(
            (replica, _) => replica == "m/1" ? throw new ReplicaFailedException("a step failed", wasInFailedStep: true) : Task.FromResult(new EmbedResult([1], 0)));

        await world.Client.EmbedAsync(Embedding([1]));

        Assert.Equal([false, true], world.Embeds.Select(request => request.IsSuspect));
        Assert.Empty(world.Quarantined);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task EmbedInFailedStep_AndAloneInAnother_IsQuarantined()
    {
        var world = World.OfEmbeddings((_, _) => throw new ReplicaFailedException("a step failed", wasInFailedStep: true));

        var error = await Assert.ThrowsAsync<RequestQuarantinedException>(() => world.Client.EmbedAsync(Embedding([1, 2])));

        Assert.Equal(2, error.Failures);
        Assert.Equal([false, true], world.Embeds.Select(request => request.IsSuspect));
        Assert.Equal([world.Routes[0].Fingerprint], world.Quarantined);
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task EmbedHangs_DeadlineIsATimeout()
    {
        var time = new ManualTime();
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var world = World.OfEmbeddings(
            async (_, cancellationToken) =>
            {
                asked.SetResult();
                await Task.Delay(Timeout.Infinite, cancellationToken);
                throw new InvalidOperationException("never");
            },
            time);
        var embedding = world.Client.EmbedAsync(Embedding([1]) with { Deadline = time.GetUtcNow().AddSeconds(10) });
        await asked.Task.WaitAsync(GrainsFixture.Patience);

        time.Advance(TimeSpan.FromSeconds(12));

        await Assert.ThrowsAsync<TimeoutException>(() => embedding.WaitAsync(GrainsFixture.Patience));
        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task EmbedDeadlineToldByTheReplica_IsATimeout()
    {
        var time = new ManualTime();
        var world = World.OfEmbeddings(
            (_, _) =>
            {
                time.Advance(TimeSpan.FromSeconds(10));
                throw new TimeoutException("The deadline passed.");
            },
            time);

        await Assert.ThrowsAsync<TimeoutException>(() => world.Client.EmbedAsync(Embedding([1]) with { Deadline = time.GetUtcNow().AddSeconds(10) }));

        Assert.Equal(world.Booked, world.Released);
    }

    [Fact]
    public async Task EmbedDeadlineOverBefore_IsATimeoutWithoutATicket()
    {
        var time = new ManualTime();
        var world = World.OfEmbeddings((_, _) => throw new InvalidOperationException("never"));

        await Assert.ThrowsAsync<TimeoutException>(() => world.Client.EmbedAsync(Embedding([1]) with { Deadline = time.GetUtcNow().AddYears(-1000) }));

        Assert.Empty(world.Booked);
    }

    [Fact]
    public async Task Group_GoesToTheRouter()
    {
        var world = new World((_, _) => Stream(Token(0), End(1)));

        await GrainsFixture.ReadAsync(world.Client.GenerateAsync(GrainsFixture.Request("m", [1]) with { Group = "choices" }));

        Assert.Equal("choices", Assert.Single(world.Routes).Group);
    }

    private static EmbedRequest Embedding(int[] ids) => new() { RequestId = "e", Model = "m", TokenIds = ids };

    private static TokenChunk Token(int index, long epoch = Epoch) => new() { Index = index, TokenId = 100 + index, Epoch = epoch };

    private static TokenChunk End(int count) => new() { Index = count, TokenId = -1, Epoch = Epoch, FinishReason = FinishReason.Length };

    private static IAsyncEnumerable<TokenChunk> Stream(params TokenChunk[] chunks) => Stream(null, chunks);

    private static async IAsyncEnumerable<TokenChunk> Stream(Exception? error, params TokenChunk[] chunks)
    {
        foreach (var chunk in chunks)
        {
            await Task.Yield();
            yield return chunk;
        }

        if (error is not null) throw error;
    }

    private static async IAsyncEnumerable<TokenChunk> Hanging(TokenChunk first, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        yield return first;
        await Task.Delay(Timeout.Infinite, cancellationToken);
    }

    private static async Task<(List<int> Delivered, Exception? Error)> ReadToErrorAsync(World world)
    {
        var delivered = new List<int>();
        var error = await Record.ExceptionAsync(async () =>
        {
            await foreach (var chunk in world.Client.GenerateAsync(GrainsFixture.Request("m", [1]))) delivered.Add(chunk.Index);
        });
        return (delivered, error);
    }

    /// <summary>A cluster of one router, which gives out m/1, m/2, …, and replicas that say what a test scripts.</summary>
    private sealed class World : IRouterGrain
    {
        private readonly Func<string, long, IAsyncEnumerable<TokenChunk>> _replica;
        private readonly Func<string, CancellationToken, Task<EmbedResult>> _embed;
        private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public World(Func<string, long, IAsyncEnumerable<TokenChunk>> replica, TimeProvider? time = null, SurvivalOptions? survival = null)
            : this(replica, (_, _) => throw new NotSupportedException(), time, survival)
        {
        }

        private World(
            Func<string, long, IAsyncEnumerable<TokenChunk>> replica, Func<string, CancellationToken, Task<EmbedResult>> embed, TimeProvider? time, SurvivalOptions? survival = null)
        {
            (_replica, _embed) = (replica, embed);
            var grains = DispatchProxy.Create<IGrainFactory, Factory>();
            ((Factory)(object)grains).World = this;
            Client = new GrainGenerationClient(grains, time ?? TimeProvider.System, NullLogger<GrainGenerationClient>.Instance, survival);
        }

        public static World OfEmbeddings(Func<string, CancellationToken, Task<EmbedResult>> embed, TimeProvider? time = null) =>
            new((_, _) => throw new NotSupportedException(), embed, time);

        public GrainGenerationClient Client { get; }

        /// <summary>Answers of the router that are lost, the first ones.</summary>
        public int LostAnswers { get; set; }

        /// <summary>Releases that do not arrive, the first ones.</summary>
        public int LostReleases { get; set; }

        /// <summary>Completes with the first release that arrives.</summary>
        public Task FirstRelease => _released.Task;

        public List<RouteRequest> Routes { get; } = [];

        public List<EmbedRequest> Embeds { get; } = [];

        public List<ulong> Quarantined { get; } = [];

        public List<Guid> Booked { get; } = [];

        public List<Guid> Released { get; } = [];

        public Task<Ticket> RouteAsync(RouteRequest request, CancellationToken cancellationToken = default)
        {
            Routes.Add(request);
            if (!Booked.Contains(request.BookingId)) Booked.Add(request.BookingId);
            if (LostAnswers-- > 0) throw new TimeoutException("The answer was lost.");
            return Task.FromResult(new Ticket { BookingId = request.BookingId, Replica = new($"m/{Booked.Count}", Epoch) });
        }

        public Task ReleaseAsync(Guid bookingId, int? cachedTokens = null, CancellationToken cancellationToken = default)
        {
            if (LostReleases-- > 0) return Task.FromException(new TimeoutException("The router sleeps."));
            Released.Add(bookingId);
            _released.TrySetResult();
            return Task.CompletedTask;
        }

        public Task QuarantineAsync(ulong fingerprint, string reason, CancellationToken cancellationToken = default)
        {
            Quarantined.Add(fingerprint);
            return Task.CompletedTask;
        }

        public Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

        /// <summary>Reads one script: what it throws first refuses the request, what it throws later breaks the takes, and where it ends the life does.</summary>
        private sealed class Replica(World world, string id) : IReplicaGrain
        {
            private readonly TaskCompletionSource<(long Slot, IAsyncEnumerator<TokenChunk> Script)> _submitted = new(TaskCreationOptions.RunContinuationsAsynchronously);
            private readonly TaskCompletionSource _cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);
            private bool _begun;

            public Task OpenReaderAsync(Guid reader, long epoch) => Task.CompletedTask;

            public async Task SubmitAsync(GenerateRequest request, long epoch, Guid reader, long slot)
            {
                var script = world._replica(id, epoch).GetAsyncEnumerator();
                Assert.True(await script.MoveNextAsync());
                _submitted.SetResult((slot, script));
            }

            public async Task<StepTokens> TakeAsync(Guid reader, TokenCredit[] credits)
            {
                var (slot, script) = await _submitted.Task;
                var next = _begun ? script.MoveNextAsync().AsTask() : Task.FromResult(true);
                await Task.WhenAny(next, _cancelled.Task);
                if (_cancelled.Task.IsCompleted || !await next) return new StepTokens { Epoch = Epoch, IsLast = true };
                _begun = true;
                var chunk = script.Current;
                TokenDetail[] details = chunk.FinishReason is { } reason ? [new() { Entry = 0, FinishReason = reason }] : [];
                return new StepTokens { Epoch = chunk.Epoch, Slots = [slot], Indexes = [chunk.Index], TokenIds = [chunk.TokenId], Details = details };
            }

            public Task GrantAsync(Guid reader, TokenCredit credit) => Task.CompletedTask;

            public Task CancelAsync(Guid reader, long slot)
            {
                _cancelled.SetResult();
                return Task.CompletedTask;
            }

            public async Task<EmbedResult> EmbedAsync(EmbedRequest request, long epoch, CancellationToken cancellationToken = default)
            {
                await Task.Yield();
                world.Embeds.Add(request);
                return await world._embed(id, cancellationToken);
            }

            public Task<int> PinAsync(KvPin pin, long epoch) => throw new NotSupportedException();

            public Task UnpinAsync(string owner, long epoch) => throw new NotSupportedException();

            public Task<ReplicaLoad> GetLoadAsync(CancellationToken cancellationToken = default) => Task.FromResult(new ReplicaLoad { Epoch = Epoch });

            public Task<ReplicaNews> WatchAsync(long epoch, long nextEvent, CancellationToken cancellationToken = default) => throw new NotSupportedException();
        }

        /// <summary>Stands for <see cref="IGrainFactory"/>, of which only one overload is called.</summary>
        [SuppressMessage("Performance", "CA1852", Justification = "The proxy derives from it at run time.")]
        private class Factory : DispatchProxy
        {
            public World World { get; set; } = null!; // Set right after it is made: a proxy has no constructor of its own.

            protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
            {
                var grain = targetMethod!.GetGenericArguments()[0];
                if (grain == typeof(IRouterGrain)) return World;
                if (grain == typeof(IReplicaGrain)) return new Replica(World, (string)args![0]!);
                throw new NotSupportedException($"{targetMethod} is not scripted.");
            }
        }
    }
}
