using Granary.GrainInterfaces.Models;

namespace Granary.Grains;

/// <summary>The text side of the models whose files this silo has. The grains know no files: the silo does.</summary>
/// <remarks>Calls come from grains: whoever reads files does it on a thread of the pool.</remarks>
public interface IModelFiles
{
    /// <summary>What the model is, with the context that its files allow; null where this silo does not have it.</summary>
    /// <exception cref="GrainInterfaces.Errors.ModelLoadException">Its files are at fault; the message says which and why.</exception>
    Task<ModelCard?> FindCardAsync(string model, CancellationToken cancellationToken);

    /// <summary>The files to tokenize with; null where this silo does not have them.</summary>
    /// <exception cref="GrainInterfaces.Errors.ModelLoadException">A file is missing or too large; the message names file, size and bound.</exception>
    Task<ModelTextFiles?> FindTextFilesAsync(string model, CancellationToken cancellationToken);
}

/// <summary>A silo without files: its models generate and nobody can tokenize for them.</summary>
internal sealed class NoModelFiles : IModelFiles
{
    public Task<ModelCard?> FindCardAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelCard?>(null);

    public Task<ModelTextFiles?> FindTextFilesAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelTextFiles?>(null);
}
