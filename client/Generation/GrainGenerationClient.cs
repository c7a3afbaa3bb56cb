using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using Granary.GrainInterfaces;
using Microsoft.Extensions.Logging;
using Orleans;

namespace Granary.Client;

/// <summary>Ticket from the model's router, tokens straight from the replica, booking given back; and all of it again where a life is lost.</summary>
/// <remarks>
/// A request that nobody has taken hears the second refusal. One that was taken ends as if nothing had happened, whatever becomes of the lives that take it;
/// only its deadline, its caller, the bounds of <see cref="SurvivalOptions"/> or a request that itself ends replicas stop it before.
/// </remarks>
public sealed class GrainGenerationClient : IGenerationClient
{
    /// <summary>The meter that counts streams which went on elsewhere, and how long that took.</summary>
    public const string MeterName = "Granary.Client";

    /// <summary>How long after the deadline the replica may tell of it, before the client does so itself.</summary>
    private static readonly TimeSpan DeadlineGrace = TimeSpan.FromSeconds(1);

    private readonly IGrainFactory _grains;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly SurvivalOptions _options;
    private readonly RetryPauses _pauses;
    private readonly TicketOffice _tickets;
    private readonly ReplicaConnections _connections;
    private readonly LifeProbe _probe;
    private readonly SurvivalMetrics _metrics;

    /// <param name="options">Null for the defaults.</param>
    /// <param name="silo">The silo that this process' gateway is part of; null outside of silos.</param>
    /// <param name="meters">Null for a meter of its own.</param>
    /// <param name="random">Shortens pauses; null for one of its own.</param>
    /// <exception cref="ArgumentException">An option is out of its bounds.</exception>
    public GrainGenerationClient(
        IGrainFactory grains, TimeProvider time, ILogger<GrainGenerationClient> logger, SurvivalOptions? options = null, string? silo = null,
        IMeterFactory? meters = null, Random? random = null)
    {
        (_grains, _time, _logger, _options) = (grains, time, logger, options ?? new());
        if (SurvivalOptionsValidator.Find(_options).FirstOrDefault() is { } failure) throw new ArgumentException(failure, nameof(options));
        _pauses = new(random ?? new());
        _tickets = new(grains, silo, _options, _pauses, time, logger);
        // A gateway's readers never block; whoever else reads may.
        _connections = new(grains, time, _options, silo is null ? null : new ReaderTurns(Math.Max(1, Environment.ProcessorCount - 1)));
        _probe = new(_options, time);
        _metrics = new(meters);
    }

    public async IAsyncEnumerable<TokenChunk> GenerateAsync(
        GenerateRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using var deadline = new RequestDeadline(request.Deadline, DeadlineGrace, _time, cancellationToken);
        await using var driver = new GenerationDriver(
            request, _tickets, _connections, SearchFor(request.Model, request.RequestId, request.WasTaken, deadline.Token), _options, _metrics, _time, _logger, deadline.Token);
        var end = FinishReason.Deadline;
        while (!deadline.HasPassed)
        {
            StreamNews news;
            try
            {
                if (driver.Stream is null && !await driver.ContinueAsync())
                {
                    end = FinishReason.Length;
                    break;
                }

                news = await driver.Stream!.NextAsync().ConfigureAwait(false);
                if (news == StreamNews.Draining) await driver.TryMoveAsync();
            }
            catch (OperationCanceledException) when (deadline.WasCause)
            {
                break;
            }

            if (news == StreamNews.Ended) driver.LoseStream();
            if (news != StreamNews.Token) continue;
            var chunk = driver.Stream.Current;
            if (!driver.TryDeliver(ref chunk)) continue;
            yield return chunk;
            if (chunk.FinishReason is not null) yield break;
        }

        yield return driver.End(end);
    }

    public async Task<EmbedResult> EmbedAsync(EmbedRequest request, CancellationToken cancellationToken = default)
    {
        using var deadline = new RequestDeadline(request.Deadline, DeadlineGrace, _time, cancellationToken);
        if (deadline.HasPassed) throw DeadlinePassed(request);
        var driver = new EmbedDriver(
            request, _grains, _tickets, SearchFor(request.Model, request.RequestId, wasTaken: false, deadline.Token), _probe, DeadlineGrace, _time, deadline.Token);
        try
        {
            return await driver.RunAsync() ?? throw DeadlinePassed(request);
        }
        catch (OperationCanceledException) when (deadline.WasCause)
        {
            throw DeadlinePassed(request);
        }
    }

    private LifeSearch SearchFor(string model, string requestId, bool wasTaken, CancellationToken cancellationToken) =>
        new(_tickets, _pauses, _options, _time, _logger, model, requestId, wasTaken, cancellationToken);

    private static TimeoutException DeadlinePassed(EmbedRequest request) =>
        new($"The deadline of request '{request.RequestId}', {request.Deadline:O}, has passed.");
}
