using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Threading.Channels;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Granary.Tests.Cluster.Grains;
using Granary.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>A router and replicas m/1, m/2, … that say what a test has them say, around the client that drives requests through them.</summary>
internal sealed class DriverWorld : IRouterGrain
{
    public const long Epoch = 7;

    private readonly ConcurrentDictionary<string, ScriptedReplica> _replicas = new();
    private readonly Channel<RouteRequest> _routes = Channel.CreateUnbounded<RouteRequest>();
    private readonly ConcurrentDictionary<Guid, string> _bookings = new();

    public DriverWorld(SurvivalOptions? survival = null, string? silo = null)
    {
        var grains = DispatchProxy.Create<IGrainFactory, Factory>();
        ((Factory)(object)grains).World = this;
        Client = new GrainGenerationClient(grains, Time, NullLogger<GrainGenerationClient>.Instance, survival, silo, random: new Shortest());
    }

    public ManualTime Time { get; } = new();

    public GrainGenerationClient Client { get; }

    /// <summary>What happened, in order: <c>route</c>, <c>release m/1</c>.</summary>
    public ConcurrentQueue<string> Events { get; } = new();

    public List<string> RoutersAsked { get; } = [];

    public List<(ulong Fingerprint, string Reason)> Quarantined { get; } = [];

    /// <summary>The replica for a request; the first that is not excluded, unless a test says otherwise. What it throws is the router's answer.</summary>
    public Func<RouteRequest, string> Pick { get; set; } =
        route => Enumerable.Range(1, 20).Select(i => $"m/{i}").First(id => !route.Excluded.Contains(new ReplicaLife(id, Epoch)));

    /// <summary>Routers that do not answer, by key.</summary>
    public HashSet<string> DeadRouters { get; } = [];

    public TimeSpan Now => Time.GetUtcNow() - ManualTime.Start;

    public static ModelNotReadyException NotReady => new("nobody", TimeSpan.FromSeconds(1));

    /// <summary>Tickets that were not given back.</summary>
    public int Booked => _bookings.Count;

    public ScriptedReplica this[string id] => _replicas.GetOrAdd(id, _ => new ScriptedReplica());

    public static GenerateRequest Request(int maxTokens = 100) => GrainsFixture.Request("m", [1, 2, 3], maxTokens) with { CacheSalt = "salt" };

    public RequestReader Read(GenerateRequest? request = null) => new(Client, request ?? Request());

    public async Task<RouteRequest> NextRouteAsync() => await _routes.Reader.ReadAsync().AsTask().WaitAsync(GrainsFixture.Patience);

    /// <summary>Waits until somebody pauses after so many failures, and lets the pause pass.</summary>
    public Task PassPauseAsync(int failures) => PassAsync(TimeSpan.FromMilliseconds(Math.Min(25 << (failures - 2), 500)));

    /// <summary>Waits until somebody waits for so long, and lets that pass.</summary>
    public async Task PassAsync(TimeSpan wait)
    {
        await Time.ArmedFor(Now + wait).WaitAsync(GrainsFixture.Patience);
        Time.Advance(wait);
    }

    /// <summary>Waits until the replica's admission is known, so that its silence counts from now.</summary>
    public Task WhenWatchedAsync() => Time.ArmedFor(Now + (new SurvivalOptions().SilenceLimit / 4)).WaitAsync(GrainsFixture.Patience);

    /// <summary>Lets so much time pass that nobody was late to look.</summary>
    public void Pass(TimeSpan time)
    {
        var step = TimeSpan.FromMilliseconds(175);
        for (var left = time; left > TimeSpan.Zero; left -= step) Time.Advance(left < step ? left : step);
    }

    public Task<Ticket> RouteAsync(RouteRequest request, CancellationToken cancellationToken = default)
    {
        Events.Enqueue("route");
        _routes.Writer.TryWrite(request);
        try
        {
            var ticket = new Ticket { BookingId = request.BookingId, Replica = new(Pick(request), Epoch) };
            _bookings[ticket.BookingId] = ticket.Replica.ReplicaId;
            return Task.FromResult(ticket);
        }
        catch (Exception exception)
        {
            return Task.FromException<Ticket>(exception);
        }
    }

    public Task ReleaseAsync(Guid bookingId, int? cachedTokens = null, CancellationToken cancellationToken = default)
    {
        if (_bookings.TryRemove(bookingId, out var replica)) Events.Enqueue($"release {replica}");
        return Task.CompletedTask;
    }

    public Task QuarantineAsync(ulong fingerprint, string reason, CancellationToken cancellationToken = default)
    {
        Quarantined.Add((fingerprint, reason));
        return Task.CompletedTask;
    }

    public Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    private object Grain(Type grain, string key)
    {
        if (grain != typeof(IRouterGrain)) return this[key];
        RoutersAsked.Add(key);
        return DeadRouters.Contains(key) ? new DeadRouter() : this;
    }

    /// <summary>Pauses are half as long as they may be.</summary>
    private sealed class Shortest : Random
    {
        public override double NextDouble() => 0;
    }

    private sealed class DeadRouter : IRouterGrain
    {
        public Task<Ticket> RouteAsync(RouteRequest request, CancellationToken cancellationToken = default) => Task.FromException<Ticket>(Gone());

        public Task ReleaseAsync(Guid bookingId, int? cachedTokens = null, CancellationToken cancellationToken = default) => Task.FromException(Gone());

        public Task QuarantineAsync(ulong fingerprint, string reason, CancellationToken cancellationToken = default) => Task.FromException(Gone());

        public Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default) => Task.FromException<RouterSnapshot>(Gone());

        private static Orleans.Runtime.SiloUnavailableException Gone() => new("The router's silo is gone.");
    }

    /// <summary>Stands for <see cref="IGrainFactory"/>, of which only one overload is called.</summary>
    [SuppressMessage("Performance", "CA1852", Justification = "The proxy derives from it at run time.")]
    private class Factory : DispatchProxy
    {
        public DriverWorld World { get; set; } = null!; // Set right after it is made: a proxy has no constructor of its own.

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
            World.Grain(targetMethod!.GetGenericArguments()[0], (string)args![0]!);
    }
}

/// <summary>Reads one request to its end; a test takes the chunks as they come.</summary>
internal sealed class RequestReader
{
    private readonly Channel<TokenChunk> _chunks = Channel.CreateUnbounded<TokenChunk>();

    public RequestReader(IGenerationClient client, GenerateRequest request)
    {
        Ended = Task.Run(async () =>
        {
            try
            {
                await foreach (var chunk in client.GenerateAsync(request, Caller.Token)) _chunks.Writer.TryWrite(chunk);
                _chunks.Writer.Complete();
            }
            catch (Exception exception)
            {
                _chunks.Writer.Complete(exception);
            }
        });
    }

    public CancellationTokenSource Caller { get; } = new();

    /// <summary>Completes when everything that the request held is given back.</summary>
    public Task Ended { get; }

    public async Task<TokenChunk> NextAsync() => await _chunks.Reader.ReadAsync().AsTask().WaitAsync(GrainsFixture.Patience);

    /// <summary>All chunks that are left; the request's error is thrown.</summary>
    public async Task<List<TokenChunk>> RestAsync()
    {
        using var patience = new CancellationTokenSource(GrainsFixture.Patience);
        var rest = new List<TokenChunk>();
        await foreach (var chunk in _chunks.Reader.ReadAllAsync(patience.Token)) rest.Add(chunk);
        await Ended.WaitAsync(GrainsFixture.Patience);
        return rest;
    }

    /// <summary>Reads the chunks with these indexes.</summary>
    public async Task ExpectAsync(params int[] indexes)
    {
        foreach (var index in indexes) Assert.Equal(index, (await NextAsync()).Index);
    }
}
