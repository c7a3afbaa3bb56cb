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
internal sealed class OnnxReplicaFactory(ModelCatalog catalog, IOptions<GranaryOptions> options, TimeProvider time) : IReplicaFactory
{
    public async Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken)
    {
        try
        {
            var imported = await catalog.GetImportedAsync(spec.Model).WaitAsync(cancellationToken);
            // Loading reads and maps files and compiles kernels: off the caller's scheduler, which may be a grain's.
            var engine = await Task.Run(() => Start(imported, spec), cancellationToken);
            return new LoadedReplica(engine, imported.Description.EosTokenIds.ToFrozenSet());
        }
        catch (ModelImportException exception)
        {
            throw new ModelLoadException(exception.Message);
        }
    }

    private InferenceEngine Start(ImportedModel imported, ReplicaSpec spec)
    {
        var executor = OnnxStepExecutor.Open(imported.Directory, EngineSettings.ToExecutor(options.Value, spec));
        try
        {
            return InferenceEngine.Start(EngineSettings.ToEngine(options.Value), executor, time);
        }
        catch
        {
            executor.Dispose();
            throw;
        }
    }
}
