using System.Buffers.Binary;
using System.Security.Cryptography;
using Granary.GrainInterfaces.Routing;
using Granary.Routing;

namespace Granary.Tests.Support.Replay;

/// <summary>Replays a trace in a simulated cluster of the product's own parts: one thread, virtual time, the same result each time.</summary>
public sealed class ReplaySimulator
{
    private readonly Trace _trace;
    private readonly ReplaySettings _settings;
    private readonly ReplayClock _clock = new();
    private readonly ReplayReplica[] _replicas;
    private readonly Dictionary<ReplicaLife, NewsDesk> _desks = [];
    private readonly ReplayRouter[] _routers;
    private readonly List<ReplayStream> _streams = [];
    private readonly List<RoutedBlocks> _routed = [];
    private readonly double[] _busySeconds;
    private int _done;

    private ReplaySimulator(Trace trace, ReplaySettings settings)
    {
        (_trace, _settings) = (trace, settings);
        _busySeconds = new double[settings.Replicas];
        _replicas = [.. Enumerable.Range(0, settings.Replicas).Select(i => Start(i, epoch: 1))];
        _routers = [.. Enumerable.Range(0, settings.Routers).Select(NewRouter)];
    }

    /// <exception cref="InvalidOperationException">A request never ended.</exception>
    public static ReplayResult Run(Trace trace, ReplaySettings settings) => new ReplaySimulator(trace, settings).Run();

    private ReplayResult Run()
    {
        PlanArrival(0);
        foreach (var (at, replica) in _settings.Kills) _clock.At(at, () => Kill(replica));
        if (_settings.RoutersLostAt is { } lost) _clock.At(lost, LoseRouters);
        while (_done < _trace.Requests.Length)
        {
            if (!_clock.Step()) throw new InvalidOperationException($"{_trace.Requests.Length - _done} of {_trace.Requests.Length} requests never ended.");
        }

        for (var i = 0; i < _replicas.Length; i++) _busySeconds[i] += _replicas[i].BusySeconds;
        return ReplayResult.Of(_trace, _settings, _streams, _routed, _busySeconds, Digest());
    }

    /// <summary>Only the next is planned, so that the trace is not in memory as tokens.</summary>
    private void PlanArrival(int number)
    {
        if (number == _trace.Requests.Length) return;
        var request = _trace.Requests[number];
        _clock.At(request.Arrival, () =>
        {
            var stream = new ReplayStream(request, number, _trace.BlockTokens, _clock) { Done = End };
            _streams.Add(stream);
            Route(stream);
            PlanArrival(number + 1);
        });
    }

    private void Route(ReplayStream stream)
    {
        var router = _routers[stream.Number % _routers.Length];
        (stream.Router, stream.Booking) = (stream.Number % _routers.Length, new Guid(stream.Number, (short)stream.Lost.Count, 0, new byte[8]));
        var request = stream.ToRoute();
        var decision = router.Table.Route(request, stream.Booking, out var ticket);
        if (ticket is null)
        {
            if (decision.Obstacle == RouteObstacle.TooLong) throw new InvalidOperationException($"Request {stream.Number} of {request.PromptTokens} tokens fits nowhere.");
            _clock.After(0.1, () => Route(stream));
            return;
        }

        var replica = _replicas[Number(ticket.Replica)];
        if (stream.Delivered == 0 && stream.Lost.Count == 0) _routed.Add(new(_clock.Seconds, stream, decision.Overlap, replica.Life == ticket.Replica ? replica.NeverStored(request.Blocks.AsSpan(0, decision.Overlap.Device)) : 0));
        _clock.After(_settings.HopSeconds, () =>
        {
            var there = _replicas[Number(ticket.Replica)];
            if (there.Life == ticket.Replica && there.Submit(stream, stream.ToEngine())) return;
            _clock.After(_settings.DetectionSeconds, () => Lose(stream, ticket.Replica));
        });
    }

    private void End(ReplayStream stream)
    {
        _done++;
        _clock.After(_settings.HopSeconds, () => _routers[stream.Router].Table.Release(stream.Booking));
    }

    private void Kill(int number)
    {
        var replica = _replicas[number];
        var streams = replica.End();
        _busySeconds[number] += replica.BusySeconds;
        _desks.Remove(replica.Life);
        _clock.After(_settings.DetectionSeconds, () =>
        {
            foreach (var stream in streams) Lose(stream, replica.Life);
            Tell();
        });
        _clock.After(_settings.RestartSeconds, () =>
        {
            _replicas[number] = Start(number, replica.Life.Epoch + 1);
            Tell();
        });
    }

    private void Lose(ReplayStream stream, ReplicaLife life)
    {
        _routers[stream.Router].Table.Release(stream.Booking);
        stream.Lost.Add(life);
        Route(stream);
    }

    private void LoseRouters()
    {
        for (var i = 0; i < _routers.Length; i++)
        {
            _routers[i].IsGone = true;
            _routers[i] = NewRouter(i);
        }

        Tell();
    }

    private void Tell()
    {
        foreach (var router in _routers) router.Adopt(_replicas.Where(replica => !replica.HasEnded).Select(replica => replica.Descriptor));
    }

    private ReplayRouter NewRouter(int number)
    {
        var router = new ReplayRouter(_settings, number, _clock, life => _desks.GetValueOrDefault(life));
        router.Adopt(_replicas.Where(replica => !replica.HasEnded).Select(replica => replica.Descriptor));
        return router;
    }

    private ReplayReplica Start(int number, long epoch)
    {
        var replica = new ReplayReplica(new($"silo-{number}/gpu0/model/{number}", epoch), _settings, _trace.BlockTokens, _clock);
        _desks.Add(replica.Life, new(replica, _clock));
        return replica;
    }

    private static int Number(ReplicaLife life) => int.Parse(life.ReplicaId.AsSpan(life.ReplicaId.LastIndexOf('/') + 1), System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Of all that was decided and when tokens came: two runs are the same if theirs are.</summary>
    private string Digest()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> bytes = stackalloc byte[24];
        foreach (var stream in _streams)
        {
            BinaryPrimitives.WriteDoubleLittleEndian(bytes, stream.FirstTokenAt);
            BinaryPrimitives.WriteDoubleLittleEndian(bytes[8..], stream.LastTokenAt);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[16..], stream.CachedTokens);
            BinaryPrimitives.WriteInt32LittleEndian(bytes[20..], stream.Delivered);
            hash.AppendData(bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8));
    }
}

/// <summary>What a router expected of the cache it sent a request to.</summary>
/// <param name="NeverStored">Of the blocks that it believed there, those that this life never had.</param>
internal sealed record RoutedBlocks(double At, ReplayStream Stream, PrefixOverlap Overlap, int NeverStored);
