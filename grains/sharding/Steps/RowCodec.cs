using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Engine.Sampling;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>A rank's columns of a row of logits on the wire: all of them, or their summary.</summary>
/// <remarks>
/// <code>
/// a whole row      float32 of each column
/// a summary        int32 best column, float32 its logit, int32 candidates,
///                  float32 of each block's maximum, float64 of each block's sum, int32 of each candidate's column, float32 of its logit
/// </code>
/// All little-endian. How many blocks there are both ends know from the slice and the temperature.
/// </remarks>
internal static class RowCodec
{
    private const int HeaderBytes = 3 * sizeof(int);

    /// <summary>Most bytes of a row.</summary>
    public static int MostBytes(Slice columns) => Math.Max(
        columns.Count * sizeof(float),
        HeaderBytes + RowSummary.BlocksOf(0, columns.Count, 1) * (sizeof(float) + sizeof(double)) + RowSummary.MaxCandidates * (sizeof(int) + sizeof(float)));

    /// <returns>Bytes written.</returns>
    public static int Write(RowSummary summary, Span<byte> destination)
    {
        BinaryPrimitives.WriteInt32LittleEndian(destination, summary.BestColumn);
        BinaryPrimitives.WriteSingleLittleEndian(destination[4..], summary.Best);
        BinaryPrimitives.WriteInt32LittleEndian(destination[8..], summary.CandidateCount);
        var rest = destination[HeaderBytes..];
        Put<float>(summary.BlockMaxima, ref rest);
        Put<double>(summary.BlockSums, ref rest);
        Put<int>(summary.CandidateColumns, ref rest);
        Put<float>(summary.CandidateLogits, ref rest);
        return destination.Length - rest.Length;
    }

    /// <summary>Reads the summary of a slice.</summary>
    /// <param name="source">Moves behind what was read.</param>
    /// <param name="columns">The slice.</param>
    /// <param name="temperature">Of the row.</param>
    /// <param name="summary">Is overwritten.</param>
    /// <exception cref="LinkException">It is none of this slice.</exception>
    public static void Read(ref ReadOnlySpan<byte> source, Slice columns, float temperature, RowSummary summary)
    {
        var header = Take(ref source, HeaderBytes);
        var best = BinaryPrimitives.ReadInt32LittleEndian(header);
        var candidates = BinaryPrimitives.ReadInt32LittleEndian(header[8..]);
        var most = temperature == RowWants.Highest ? 0 : Math.Min(columns.Count, RowSummary.MaxCandidates);
        if (candidates < 0 || candidates > most) throw Corrupt($"{candidates} candidates; its bounds are 0 and {most}");
        if (best != -1 && (best < columns.First || best >= columns.End)) throw Corrupt($"its best column {best}; the rank has {columns.First} to {columns.End - 1}");

        summary.Reset(columns.First, columns.Count, temperature, candidates);
        summary.BestColumn = best;
        summary.Best = BinaryPrimitives.ReadSingleLittleEndian(header[4..]);
        Get(ref source, summary.BlockMaxima);
        Get(ref source, summary.BlockSums);
        Get(ref source, summary.CandidateColumns);
        Get(ref source, summary.CandidateLogits);
        var last = columns.First - 1;
        foreach (var column in summary.CandidateColumns)
        {
            if (column <= last || column >= columns.End) throw Corrupt($"candidate column {column} after {last}; the rank has {columns.First} to {columns.End - 1}");
            last = column;
        }
    }

    public static ReadOnlySpan<byte> Take(ref ReadOnlySpan<byte> source, int count)
    {
        if (count > source.Length) throw Corrupt($"{source.Length} bytes left where {count} are expected");
        var taken = source[..count];
        source = source[count..];
        return taken;
    }

    private static void Put<T>(ReadOnlySpan<T> values, ref Span<byte> destination)
        where T : unmanaged
    {
        MemoryMarshal.AsBytes(values).CopyTo(destination);
        destination = destination[MemoryMarshal.AsBytes(values).Length..];
    }

    private static void Get<T>(ref ReadOnlySpan<byte> source, Span<T> values)
        where T : unmanaged
    {
        var bytes = MemoryMarshal.AsBytes(values);
        Take(ref source, bytes.Length).CopyTo(bytes);
    }

    private static LinkException Corrupt(string what) => new(LinkFailure.Corrupt, $"A row of a result has {what}.");
}
