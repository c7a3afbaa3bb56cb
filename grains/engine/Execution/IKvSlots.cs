namespace Granary.Engine.Execution;

/// <summary>Slow memory for copies of KV blocks, such as a file. Used by one thread at a time, which may block.</summary>
public interface IKvSlots : IDisposable
{
    /// <summary>How many blocks it holds, at least 1.</summary>
    int Count { get; }

    /// <param name="content">A block.</param>
    /// <exception cref="IOException">It could not be written; what the slot holds is unknown.</exception>
    void Write(int slot, ReadOnlySpan<byte> content);

    /// <param name="content">Gets what was written last; what comes wrong is noticed by its checksum.</param>
    /// <exception cref="IOException">It could not be read.</exception>
    void Read(int slot, Span<byte> content);
}
