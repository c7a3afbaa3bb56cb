using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Silo.Serving;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>Starts engines on ONNX Runtime for the models of the catalog.</summary>
internal sealed partial class OnnxReplicaFactory(
    ModelCatalog catalog, SiloPlace place, IOptions<GranaryOptions> options, TimeProvider time, ILogger<OnnxReplicaFactory> logger) : IReplicaFactory
{
    public async Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken)
    {
        try
        {
            var imported = await catalog.GetImportedAsync(spec.Model).WaitAsync(cancellationToken);
            // Loading reads and maps files and compiles kernels: off the caller's scheduler, which may be a grain's.
            return await Task.Run(() => Start(imported, spec), cancellationToken);
        }
        catch (Exception exception) when (exception is ModelImportException or ModelSessionException)
        {
            throw new ModelLoadException(exception.Message);
        }
    }

    private LoadedReplica Start(ImportedModel imported, ReplicaSpec spec)
    {
        var settings = options.Value;
        var (isDevice, weights) = (settings.Device.HasOwnMemory, ModelBytes.OfWeights(imported));
        var kvMemory = isDevice ? EngineSettings.KvMemoryBytes(settings, place.Group.MemoryOfEach, weights) : 0;
        var executor = OnnxStepExecutor.Open(imported.Directory, EngineSettings.ToExecutor(settings, spec, kvMemory));
        try
        {
            if (KvSettings.AsksInVain(settings, executor)) LogNoTiers(spec.ReplicaId);
            var tiered = EngineSettings.ToEngine(settings) with { HostCacheBytes = KvSettings.HostCacheBytes(settings, place.Group.MemoryOfEach, executor) };
            var engine = InferenceEngine.Start(tiered, executor, time, KvSettings.OpenDisk(settings, executor));
            return new LoadedReplica(engine, imported.Description.EosTokenIds.ToFrozenSet(), DeviceBytes: isDevice ? weights + ModelBytes.OfCache(imported, executor.Shape) : 0);
        }
        catch
        {
            executor.Dispose();
            throw;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId} keeps no copies of its KV cache, though Granary:Kv asks for them: the blocks of its device cannot be copied.")]
    private partial void LogNoTiers(string replicaId);
}
