using System.Buffers.Binary;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>Columns that a result did not carry. Some of them, one after the other, are the payload of a <see cref="FrameKind.RowsWanted"/> frame; a frame of <see cref="FrameKind.Rows"/> answers all of them in their order.</summary>
/// <param name="Row">Of the step's rows of logits; <see cref="HiddenStates"/> for all hidden states.</param>
/// <param name="First">The first column, counted from the shard's own first.</param>
/// <param name="Count">How many.</param>
internal readonly record struct RowRequest(int Row, int First, int Count)
{
    public const int HiddenStates = -1;

    public const int Bytes = 3 * sizeof(int);

    /// <summary>Most requests of a frame.</summary>
    public const int MaxRequests = 256;

    /// <summary>Most columns that a frame asks for in all: what answers it is put together in memory.</summary>
    public const int MaxColumns = 1 << 20;

    public void Write(Span<byte> payload)
    {
        BinaryPrimitives.WriteInt32LittleEndian(payload, Row);
        BinaryPrimitives.WriteInt32LittleEndian(payload[4..], First);
        BinaryPrimitives.WriteInt32LittleEndian(payload[8..], Count);
    }

    public static RowRequest Read(ReadOnlySpan<byte> payload) => new(
        BinaryPrimitives.ReadInt32LittleEndian(payload), BinaryPrimitives.ReadInt32LittleEndian(payload[4..]), BinaryPrimitives.ReadInt32LittleEndian(payload[8..]));
}
