using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Orleans;

namespace Granary.Client;

/// <summary>The replicas' lives that this process reads from, one connection for each.</summary>
/// <remarks>Safe for any thread.</remarks>
internal sealed class ReplicaConnections(IGrainFactory grains, TimeProvider time, SurvivalOptions? survival = null, ReaderTurns? turns = null)
{
    private readonly SurvivalOptions _options = survival ?? new();
    private readonly Lock _gate = new();
    private readonly Dictionary<ReplicaLife, ReplicaConnection> _connections = [];

    /// <summary>Connections that are open.</summary>
    public int Count
    {
        get
        {
            lock (_gate) return _connections.Count;
        }
    }

    /// <summary>Has the life's replica admit a request. Its errors come unchanged.</summary>
    /// <param name="patience">How many times longer than usual its steps may stand still, at least 1.</param>
    /// <exception cref="TimeoutException">It did not answer within <see cref="SurvivalOptions.AnswerLimit"/>; what it may have begun is ended when it answers.</exception>
    /// <returns>The sequence's tokens; the caller's to dispose.</returns>
    public async Task<TokenStream> SubmitAsync(ReplicaLife life, GenerateRequest request, CancellationToken cancellationToken, int patience = 1)
    {
        for (var again = true; ; again = false)
        {
            var (connection, stream) = Begin(life, patience, cancellationToken);
            try
            {
                await stream.SubmitAsync(request, _options.AnswerLimit, time);
                return stream;
            }
            catch (UnknownReaderException) when (again)
            {
                // This process stood still for longer than its lease, and nothing was started.
                connection.Retire();
                await stream.DisposeAsync();
            }
            catch (TimeoutException)
            {
                // An opening that was lost on its way fails late: the next request does not wait for it.
                if (!connection.IsOpen) connection.Retire();
                stream.Abandon();
                throw;
            }
            catch
            {
                await stream.DisposeAsync();
                throw;
            }
        }
    }

    /// <summary>A stream of the life's connection, which is opened where there is none.</summary>
    private (ReplicaConnection Connection, TokenStream Stream) Begin(ReplicaLife life, int patience, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_connections.TryGetValue(life, out var connection) && connection.TryBegin(patience, cancellationToken) is { } stream) return (connection, stream);
            connection = new ReplicaConnection(grains.GetGrain<IReplicaGrain>(life.ReplicaId), life, _options, turns, time);
            stream = connection.TryBegin(patience, cancellationToken)!; // Only what was started can be closed.
            _connections[life] = connection;
            connection.Start(Forget);
            return (connection, stream);
        }
    }

    private void Forget(ReplicaConnection connection)
    {
        lock (_gate)
        {
            if (_connections.GetValueOrDefault(connection.Life) == connection) _connections.Remove(connection.Life);
        }
    }
}
