namespace Granary.Engine.Onnx.Import;

/// <summary>A model folder cannot be imported or loaded. The message names the file, the tensor or setting, its value and the bound.</summary>
public sealed class ModelImportException(string message, Exception? inner = null) : Exception(message, inner);
