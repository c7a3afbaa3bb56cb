using System.Runtime.ExceptionServices;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;

namespace Granary.Client;

/// <summary>Finds lives of replicas that take one request: whom it asks, whom it does not ask again, and when.</summary>
/// <remarks>
/// A request that nobody has taken hears the refusal of the second. One that was taken once goes on asking, in rounds: who only refused is
/// asked again in the next, and who was lost as soon as nobody else is left, for the routers know whether it lives.
/// </remarks>
/// <param name="wasTaken">It goes on with what was begun elsewhere.</param>
internal sealed partial class LifeSearch(
    TicketOffice tickets, RetryPauses pauses, SurvivalOptions options, TimeProvider time, ILogger logger, string model, string requestId, bool wasTaken,
    CancellationToken cancellationToken)
{
    private readonly List<ReplicaLife> _lost = [];
    private readonly List<ReplicaLife> _refused = [];
    private int _failures; // Since a token, or since the beginning.
    private bool _wasTaken = wasTaken; // By some life, or it may have been: from then on a refusal does not end it.

    /// <summary>Lives that took the request and were lost.</summary>
    public int LostLives { get; private set; }

    /// <summary>A life that had taken the request is lost.</summary>
    public void Lose(ReplicaLife life)
    {
        LostLives++;
        _failures++;
        if (!_lost.Contains(life)) _lost.Add(life);
    }

    /// <summary>The request got further.</summary>
    public void Advance() => _failures = 0;

    /// <summary>The route, without the lives that are not to be asked.</summary>
    /// <param name="also">One more.</param>
    public RouteRequest Restrict(RouteRequest route, ReplicaLife? also = null) => _lost.Count + _refused.Count == 0 && also is null ? route : route with
    {
        Excluded = also is { } life ? [.. _lost, .. _refused, life] : [.. _lost, .. _refused],
        Lost = [.. _lost],
    };

    /// <param name="route">Of the request as it stands.</param>
    /// <param name="ask">Has the ticket's life take the request; the booking is its own only if it succeeds.</param>
    /// <param name="judge">For a call that does the work and does not only admit it, where each that breaks is a life lost: what that means. It throws what ends the request.</param>
    /// <returns>What it answered.</returns>
    /// <exception cref="ReplicaFailedException">Nobody took the request within <see cref="SurvivalOptions.MaxWait"/>, or too many lives were lost.</exception>
    public async Task<T> FindAsync<T>(RouteRequest route, Func<Booking, Task<T>> ask, Func<Exception, Task>? judge = null)
    {
        Exception? last = null;
        var waitsSince = time.GetTimestamp();
        _refused.Clear();
        await Task.Delay(pauses.After(_failures), time, cancellationToken);
        while (true)
        {
            Booking booking;
            try
            {
                booking = await tickets.TakeAsync(model, Restrict(route), cancellationToken);
            }
            catch (ModelNotReadyException notReady)
            {
                // There are replicas; they are full. That is what the caller should hear.
                if (!_wasTaken && last is ReplicaSaturatedException) ExceptionDispatchInfo.Throw(last);
                if (!_wasTaken) throw;
                _lost.Clear();
                await EndRoundAsync(waitsSince, last ?? notReady);
                continue;
            }

            var life = booking.Ticket.Replica;
            try
            {
                var answer = await ask(booking);
                _wasTaken = true;
                return answer;
            }
            catch (Exception exception)
            {
                await booking.DisposeAsync();
                var refused = StreamErrors.IsRefusal(exception);
                if (cancellationToken.IsCancellationRequested || !(refused || StreamErrors.IsLoss(exception))) throw;
                last = exception;
                var error = exception.GetType().Name;
                LogNotTaken(logger, requestId, life.ReplicaId, life.Epoch, error);
                if (refused)
                {
                    if (!_wasTaken && _refused.Count > 0) throw StreamErrors.ToContract(exception, life);
                    _refused.Add(life);
                    if (_refused.Count == 1) continue;
                }
                else
                {
                    _wasTaken = true;
                    if (!_lost.Contains(life)) _lost.Add(life);
                    if (judge is not null)
                    {
                        await judge(exception);
                        if (++LostLives >= options.MaxLives)
                            throw new ReplicaFailedException($"Request '{requestId}' is given up after {LostLives} lives of replicas: {exception.GetType().Name}: {exception.Message}");
                        waitsSince = time.GetTimestamp();
                    }
                }
            }

            await EndRoundAsync(waitsSince, last);
        }
    }

    private async Task EndRoundAsync(long waitsSince, Exception last)
    {
        _refused.Clear();
        var left = options.MaxWait - time.GetElapsedTime(waitsSince);
        if (left <= TimeSpan.Zero)
            throw new ReplicaFailedException($"Nobody went on with request '{requestId}' within {options.MaxWait}: {last.GetType().Name}: {last.Message}");
        var pause = pauses.After(++_failures);
        await Task.Delay(pause < left ? pause : left, time, cancellationToken);
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Request {RequestId} was not taken by {ReplicaId}, epoch {Epoch}: {Error}.")]
    private static partial void LogNotTaken(ILogger logger, string requestId, string replicaId, long epoch, string error);
}
