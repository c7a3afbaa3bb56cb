namespace Granary.Silo.CommandLine;

/// <summary>A question that the model cannot answer; the message says why.</summary>
internal sealed class ModelPromptException(string message) : Exception(message);
