namespace Granary.Engine.Execution;

/// <summary>The KV cache of an executor that lets its blocks be copied out and in. Used by the engine's thread, of blocks that no step in flight uses.</summary>
/// <remarks>What is read from one block and written into another makes that the same to the bit, as far as steps read it.</remarks>
public interface IKvBlockStore
{
    /// <summary>Bytes of a block: keys and values of all layers.</summary>
    int BlockBytes { get; }

    /// <param name="content">[<see cref="BlockBytes"/>]</param>
    void Read(int block, Span<byte> content);

    /// <inheritdoc cref="Read"/>
    void Write(int block, ReadOnlySpan<byte> content);
}
