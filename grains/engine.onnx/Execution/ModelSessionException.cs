namespace Granary.Engine.Onnx.Execution;

/// <summary>An imported model cannot be opened: its graph is refused, does not fit its description, or the sizes asked for do not fit it.</summary>
public sealed class ModelSessionException(string message, Exception? inner = null) : Exception(message, inner);
