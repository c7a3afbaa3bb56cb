using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Engine.Sampling;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>What one rank said of a step's rows where some are summaries.</summary>
/// <param name="columns">The rank's.</param>
internal sealed class RankRows(Slice columns)
{
    private byte[] _packed = [];

    /// <summary>By row; of rows that are whole what it was.</summary>
    public List<RowSummary> Summaries { get; } = [];

    /// <param name="link">Whose frame has so many bytes left.</param>
    /// <param name="wanted">[S].</param>
    /// <param name="row">Where the rank's columns of a whole row go.</param>
    /// <exception cref="LinkException">It is not what is wanted, or the link is over.</exception>
    public void Read(ITensorLink link, int length, ReadOnlySpan<float> wanted, RowTarget row)
    {
        if (_packed.Length < length) _packed = GC.AllocateUninitializedArray<byte>(Math.Max(length, 2 * _packed.Length));
        link.ReadPayload(_packed.AsSpan(0, length));
        while (Summaries.Count < wanted.Length) Summaries.Add(new());
        ReadOnlySpan<byte> rest = _packed.AsSpan(0, length);
        for (var s = 0; s < wanted.Length; s++)
        {
            if (wanted[s] == RowWants.Whole) RowCodec.Take(ref rest, columns.Count * sizeof(float)).CopyTo(MemoryMarshal.AsBytes(row(s)));
            else RowCodec.Read(ref rest, columns, wanted[s], Summaries[s]);
        }

        if (rest.Length > 0) throw new LinkException(LinkFailure.Corrupt, $"A result has {rest.Length} bytes more than its rows.");
    }

    internal delegate Span<float> RowTarget(int row);
}
