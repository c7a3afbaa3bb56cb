using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Engine.Sampling;

namespace Granary.Sharding.Steps;

/// <summary>Makes of a rank's rows of logits what the plan wants of each, packed one after the other.</summary>
/// <param name="columns">The rank's.</param>
internal sealed class RowPacker(Slice columns)
{
    private readonly RowSummarizer _summarizer = new(columns.Count);
    private readonly RowSummary _summary = new();
    private byte[] _packed = [];

    /// <param name="logits">Row-major [S, columns].</param>
    /// <param name="wanted">[S]: see <see cref="StepPlan.RowTemperatures"/>.</param>
    /// <returns>Valid until the next call.</returns>
    public ReadOnlySpan<byte> Pack(ReadOnlySpan<float> logits, ReadOnlySpan<float> wanted)
    {
        var most = wanted.Length * RowCodec.MostBytes(columns);
        if (_packed.Length < most) _packed = GC.AllocateUninitializedArray<byte>(most);
        var length = 0;
        for (var s = 0; s < wanted.Length; s++)
        {
            var row = logits.Slice(s * columns.Count, columns.Count);
            if (wanted[s] == RowWants.Whole)
            {
                var bytes = MemoryMarshal.AsBytes(row);
                bytes.CopyTo(_packed.AsSpan(length));
                length += bytes.Length;
                continue;
            }

            _summarizer.Summarize(row, columns.First, wanted[s], _summary);
            length += RowCodec.Write(_summary, _packed.AsSpan(length));
        }

        return _packed.AsSpan(0, length);
    }
}
