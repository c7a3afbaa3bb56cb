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
/// <remarks>It runs beside the gateway, so that liveness and readiness can be asked while models load.</remarks>
internal sealed partial class ModelDeployment(
    ModelCatalog catalog, IGrainFactory grains, IOptions<GranaryOptions> options, SiloIdentity silo,
    ILogger<ModelDeployment> logger) : BackgroundService
{
    private readonly TaskCompletionSource _completed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when every model is deployed, or faults with the first error.</summary>
    public Task Completed => _completed.Task;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            foreach (var model in catalog.Names) await DeployAsync(model, stoppingToken);
            _completed.SetResult();
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            _completed.SetCanceled(stoppingToken);
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
        var settings = options.Value;
        var threads = settings.Threads > 0 ? settings.Threads : Math.Max(1, Environment.ProcessorCount / settings.Replicas);
        // The tokenizer is read while the engine loads; neither needs the other.
        var text = catalog.GetServedAsync(model);
        var spec = new DeploymentSpec(settings.Replicas, [silo.WorkerKey], threads, settings.KvBlocks);
        var status = await grains.GetGrain<IModelGrain>(model).DeployAsync(spec, cancellationToken);
        var served = await text.WaitAsync(cancellationToken);
        catalog.Open(served, status.Replicas.Min(replica => replica.ContextLength));
        LogDeployed(model, settings.Replicas, threads, served.ContextLength);
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Model {Model} is deployed: {Replicas} replicas of {Threads} threads, context {ContextLength}.")]
    private partial void LogDeployed(string model, int replicas, int threads, int contextLength);

    [LoggerMessage(Level = LogLevel.Error, Message = "Deployment failed.")]
    private partial void LogFailed(Exception exception);
}
