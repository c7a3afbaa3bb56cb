namespace Granary.Engine.Partitioning;

/// <summary>A model cannot be cut as asked; the message names the size, its value and what it would have to be.</summary>
public sealed class PartitionException(string message) : Exception(message);
