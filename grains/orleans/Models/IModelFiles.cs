using Granary.Engine.Partitioning;
using Granary.GrainInterfaces.Models;

namespace Granary.Grains;

/// <summary>What the models are whose files this silo has, and their text side. The grains know no files: the silo does.</summary>
/// <remarks>Calls come from grains: whoever reads files does it on a thread of the pool.</remarks>
public interface IModelFiles
{
    /// <summary>What the model is, with the context that its files allow; null where this silo does not have it.</summary>
    /// <exception cref="GrainInterfaces.Errors.ModelLoadException">Its files are at fault; the message says which and why.</exception>
    Task<ModelCard?> FindCardAsync(string model, CancellationToken cancellationToken);

    /// <summary>The files to tokenize with; null where this silo does not have them.</summary>
    /// <exception cref="GrainInterfaces.Errors.ModelLoadException">A file is missing or too large; the message names file, size and bound.</exception>
    Task<ModelTextFiles?> FindTextFilesAsync(string model, CancellationToken cancellationToken);

    /// <summary>The sizes that decide how the model can be cut, as this silo would serve it; null where it does not have the files.</summary>
    /// <exception cref="GrainInterfaces.Errors.ModelLoadException">Its files are at fault; the message says which and why.</exception>
    Task<ModelShape?> FindShapeAsync(string model, CancellationToken cancellationToken);
}

/// <summary>A silo without files: its models generate and nobody can tokenize for them.</summary>
internal sealed class NoModelFiles : IModelFiles
{
    public Task<ModelCard?> FindCardAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelCard?>(null);

    public Task<ModelTextFiles?> FindTextFilesAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelTextFiles?>(null);

    public Task<ModelShape?> FindShapeAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelShape?>(null);
}
