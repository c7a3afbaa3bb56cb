using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>A model cannot be loaded; the message says which file or value is at fault.</summary>
[GenerateSerializer, Alias("granary.error.model-load")]
public sealed class ModelLoadException : GranaryException
{
    public ModelLoadException(string message) : base(message)
    {
    }
}
