using Granary.Engine.Onnx.Import;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.Silo.Serving;
using Granary.Text.Templates;
using Granary.Text.Tokenization;
using Microsoft.Extensions.Options;
using Orleans;

namespace Granary.Silo.Hosting;

/// <summary>Brings the configured models up once the silo runs. A model that cannot be loaded faults <see cref="Completed"/>, and the command that waits for it ends the process.</summary>
/// <remarks>
/// It runs beside the gateway, so that liveness and readiness can be asked while models load. Whole replicas are this process' share of the model, beside those of
/// other silos. Afterwards it repeats what is wanted as soon as the cluster has forgotten it: a model's grain is lost with its silo.
/// </remarks>
internal sealed partial class ModelDeployment(
    ModelCatalog catalog, IGrainFactory grains, IOptions<GranaryOptions> options, SiloIdentity silo, SiloPlace place, TimeProvider time,
    ILogger<ModelDeployment> logger) : BackgroundService
{
    private static readonly TimeSpan WaitPeriod = TimeSpan.FromSeconds(1);

    private readonly TaskCompletionSource _completed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when every model is deployed, or faults with the first error.</summary>
    public Task Completed => _completed.Task;

    /// <summary>Where the process is a cluster of several silos, its models are ended before the first of them stops: none is planned again on what is left.</summary>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        if (ExecuteTask is null or { IsCompleted: true }) return;
        await base.StopAsync(cancellationToken);
        if (place.Group.Count == 1) return;
        foreach (var model in catalog.Names)
        {
            try
            {
                await grains.GetGrain<IModelGrain>(model).DeployAsync(Spec() with { Replicas = 0 }, cancellationToken).WaitAsync(cancellationToken);
            }
            catch (Exception exception)
            {
                LogNotEnded(model, exception); // Its engines and shards end with their silos.
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            foreach (var model in catalog.Names) await DeployAsync(model, stoppingToken);
            _completed.SetResult();
            await Task.WhenAll(catalog.Names.Select(model => RepeatAsync(model, stoppingToken)));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            _completed.TrySetCanceled(stoppingToken);
        }
        catch (Exception exception) when (exception is GranaryException or ModelImportException or TokenizerException or ChatTemplateException)
        {
            // The command prints the message and exits 1: the same words for every way of starting.
            _completed.SetException(exception);
        }
        catch (Exception exception)
        {
            LogFailed(exception);
            _completed.SetException(exception);
        }
    }

    private async Task DeployAsync(string model, CancellationToken cancellationToken)
    {
        // The tokenizer is read while the engine loads; neither needs the other.
        var text = catalog.GetServedAsync(model);
        var status = await BringUpAsync(model, cancellationToken);
        var served = await text.WaitAsync(cancellationToken);
        catalog.Open(served, status.Replicas.Min(replica => replica.ContextLength));
        LogDeployed(model, status.Replicas.Length, place.Group.Threads, served.ContextLength);
    }

    /// <remarks>Silos of a cluster start one after another: a partitioned replica that fits nowhere yet is waited for, unless the process is the whole cluster.</remarks>
    private async Task<ModelStatus> BringUpAsync(string model, CancellationToken cancellationToken)
    {
        var grain = grains.GetGrain<IModelGrain>(model);
        try
        {
            return await grain.DeployAsync(Spec(), cancellationToken);
        }
        catch (ModelLoadException exception) when (!options.Value.IsWhole && !LinkSettings.IsAlone(options.Value))
        {
            LogWaiting(model, exception.Message);
        }

        while (true)
        {
            await Task.Delay(WaitPeriod, time, cancellationToken);
            if (await grain.GetStatusAsync(cancellationToken) is { Replicas.Length: > 0 } status) return status;
        }
    }

    private DeploymentSpec Spec()
    {
        var settings = options.Value;
        return new(settings.Replicas, settings.IsWhole ? silo.WorkerKeys : [], place.Group.Threads, settings.KvBlocks, settings.Stages, settings.PlannedRanks)
        {
            Offer = settings.IsWhole ? silo.Name : null,
        };
    }

    /// <summary>Hears of every change of the model, and whether it still knows what it is to serve.</summary>
    private async Task RepeatAsync(string model, CancellationToken cancellationToken)
    {
        var known = ModelWatch.Nothing;
        while (true)
        {
            try
            {
                var grain = grains.GetGrain<IModelGrain>(model);
                var status = await grain.WatchAsync(known, cancellationToken);
                known = status.Version;
                if (IsForgotten(status)) await grain.DeployAsync(Spec(), cancellationToken);
            }
            catch (Exception exception) when (exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                LogNotRepeated(model, exception);
                await Task.Delay(WaitPeriod, time, cancellationToken);
            }
        }
    }

    /// <remarks>Where somebody has deployed the model for the cluster as a whole, no share of a silo is wanted.</remarks>
    private bool IsForgotten(ModelStatus status) =>
        status.WantedReplicas == 0 || (Spec().Offer is { } offer && status.Offers.Length > 0 && !status.Offers.Contains(offer));

    [LoggerMessage(Level = LogLevel.Information, Message = "Model {Model} is deployed: {Replicas} replicas of {Threads} threads, context {ContextLength}.")]
    private partial void LogDeployed(string model, int replicas, int threads, int contextLength);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Model {Model} waits for room in the cluster: {Reason}")]
    private partial void LogWaiting(string model, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Model {Model} could not be deployed again.")]
    private partial void LogNotRepeated(string model, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Model {Model} was not ended before the silos stop.")]
    private partial void LogNotEnded(string model, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "Deployment failed.")]
    private partial void LogFailed(Exception exception);
}
