using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The inner loops: rows of queries against tiles of keys, rows of probabilities against tiles of values.</summary>
/// <remarks>
/// Tiles of a sequence lie scattered over memory in pieces too short for the CPU's own prefetching, so each loop asks for the tiles that
/// come next: keys some tiles ahead, then the first values.
/// </remarks>
internal static unsafe class AttentionTiles<TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private const int Width = AttentionStep.TileTokens;

    /// <summary>Scores of one row; four tiles at a time keep four independent chains in flight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ScoreOne(AttentionStep* step, AttentionUnit unit, nint rowOffset, int firstTile, int tiles, float* scores)
    {
        var d = step->HeadSize;
        var query = step->Rotated + rowOffset;
        var tile = 0;
        for (; tile <= tiles - 4; tile += 4)
        {
            var k0 = Keys(step, unit, firstTile + tile);
            var k1 = Keys(step, unit, firstTile + tile + 1);
            var k2 = Keys(step, unit, firstTile + tile + 2);
            var k3 = Keys(step, unit, firstTile + tile + 3);
            var n0 = Ahead(step, unit, firstTile, tile + 4, tiles);
            var n1 = Ahead(step, unit, firstTile, tile + 5, tiles);
            var n2 = Ahead(step, unit, firstTile, tile + 6, tiles);
            var n3 = Ahead(step, unit, firstTile, tile + 7, tiles);
            TLanes a0 = TLanes.Create(0f), a1 = a0, a2 = a0, a3 = a0;
            for (var i = 0; i < d; i++)
            {
                Prefetch(n0 + (i * Width));
                Prefetch(n1 + (i * Width));
                Prefetch(n2 + (i * Width));
                Prefetch(n3 + (i * Width));
                var q = TLanes.Create(query[i]);
                a0 = TLanes.Fused(q, TLanes.Load(k0 + (i * Width)), a0);
                a1 = TLanes.Fused(q, TLanes.Load(k1 + (i * Width)), a1);
                a2 = TLanes.Fused(q, TLanes.Load(k2 + (i * Width)), a2);
                a3 = TLanes.Fused(q, TLanes.Load(k3 + (i * Width)), a3);
            }

            TLanes.Store(a0, scores + (tile * Width));
            TLanes.Store(a1, scores + ((tile + 1) * Width));
            TLanes.Store(a2, scores + ((tile + 2) * Width));
            TLanes.Store(a3, scores + ((tile + 3) * Width));
        }

        for (; tile < tiles; tile++)
        {
            var k = Keys(step, unit, firstTile + tile);
            var a = TLanes.Create(0f);
            for (var i = 0; i < d; i++) a = TLanes.Fused(TLanes.Create(query[i]), TLanes.Load(k + (i * Width)), a);
            TLanes.Store(a, scores + (tile * Width));
        }
    }

    /// <summary>Scores of four rows, two tiles at a time where the registers suffice.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ScoreFour(AttentionStep* step, AttentionUnit unit, nint* rowOffsets, int firstTile, int tiles, float* scores, nint stride)
    {
        var d = step->HeadSize;
        var decoding = IsDecoding(unit);
        float* q0 = step->Rotated + rowOffsets[0], q1 = step->Rotated + rowOffsets[1];
        float* q2 = step->Rotated + rowOffsets[2], q3 = step->Rotated + rowOffsets[3];
        var tile = 0;
        for (; TLanes.IsWide && tile <= tiles - 2; tile += 2)
        {
            var ka = Keys(step, unit, firstTile + tile);
            var kb = Keys(step, unit, firstTile + tile + 1);
            var na = Ahead(step, unit, firstTile, tile + 4, tiles);
            var nb = Ahead(step, unit, firstTile, tile + 5, tiles);
            TLanes a0 = TLanes.Create(0f), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
            for (var i = 0; i < d; i++)
            {
                if (decoding)
                {
                    Prefetch(na + (i * Width));
                    Prefetch(nb + (i * Width));
                }

                TLanes a = TLanes.Load(ka + (i * Width)), b = TLanes.Load(kb + (i * Width));
                var q = TLanes.Create(q0[i]);
                a0 = TLanes.Fused(q, a, a0);
                b0 = TLanes.Fused(q, b, b0);
                q = TLanes.Create(q1[i]);
                a1 = TLanes.Fused(q, a, a1);
                b1 = TLanes.Fused(q, b, b1);
                q = TLanes.Create(q2[i]);
                a2 = TLanes.Fused(q, a, a2);
                b2 = TLanes.Fused(q, b, b2);
                q = TLanes.Create(q3[i]);
                a3 = TLanes.Fused(q, a, a3);
                b3 = TLanes.Fused(q, b, b3);
            }

            var to = scores + (tile * Width);
            StoreFour(a0, a1, a2, a3, to, stride);
            StoreFour(b0, b1, b2, b3, to + Width, stride);
        }

        for (; tile < tiles; tile++)
        {
            var k = Keys(step, unit, firstTile + tile);
            TLanes a0 = TLanes.Create(0f), a1 = a0, a2 = a0, a3 = a0;
            for (var i = 0; i < d; i++)
            {
                var a = TLanes.Load(k + (i * Width));
                a0 = TLanes.Fused(TLanes.Create(q0[i]), a, a0);
                a1 = TLanes.Fused(TLanes.Create(q1[i]), a, a1);
                a2 = TLanes.Fused(TLanes.Create(q2[i]), a, a2);
                a3 = TLanes.Fused(TLanes.Create(q3[i]), a, a3);
            }

            StoreFour(a0, a1, a2, a3, scores + (tile * Width), stride);
        }
    }

    /// <summary>Adds probability × value of positions [first, end) to one row's sums.</summary>
    /// <param name="sums">d elements, the last 16 of the head in the last 16 lanes where 16 does not divide d.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SumOne(AttentionStep* step, AttentionUnit unit, float* probabilities, int first, int end, float* sums)
    {
        var d = step->HeadSize;
        for (var position = first; position < end;)
        {
            var tile = position / Width;
            var tileEnd = Math.Min(end, (tile + 1) * Width);
            var start = Values(step, unit, tile);
            var ahead = Values(step, unit, Math.Min(tile + 4, (end - 1) / Width)) - start;
            var values = start - ((nint)tile * Width * d);
            if (d < Width)
            {
                SumNarrow(values, probabilities, position, tileEnd, d, sums);
                position = tileEnd;
                continue;
            }

            var i = 0;
            for (; i <= d - (4 * Width); i += 4 * Width)
            {
                TLanes a0 = TLanes.Load(sums + i), a1 = TLanes.Load(sums + i + Width);
                TLanes a2 = TLanes.Load(sums + i + (2 * Width)), a3 = TLanes.Load(sums + i + (3 * Width));
                for (var p = position; p < tileEnd; p++)
                {
                    var probability = TLanes.Create(probabilities[p]);
                    var v = values + ((nint)p * d) + i;
                    Prefetch(v + ahead);
                    Prefetch(v + ahead + Width);
                    Prefetch(v + ahead + (2 * Width));
                    Prefetch(v + ahead + (3 * Width));
                    a0 = TLanes.Fused(probability, TLanes.Load(v), a0);
                    a1 = TLanes.Fused(probability, TLanes.Load(v + Width), a1);
                    a2 = TLanes.Fused(probability, TLanes.Load(v + (2 * Width)), a2);
                    a3 = TLanes.Fused(probability, TLanes.Load(v + (3 * Width)), a3);
                }

                TLanes.Store(a0, sums + i);
                TLanes.Store(a1, sums + i + Width);
                TLanes.Store(a2, sums + i + (2 * Width));
                TLanes.Store(a3, sums + i + (3 * Width));
            }

            for (; i < d; i += Width)
            {
                var source = Math.Min(i, d - Width);
                var a = TLanes.Load(sums + i);
                for (var p = position; p < tileEnd; p++) a = TLanes.Fused(TLanes.Create(probabilities[p]), TLanes.Load(values + ((nint)p * d) + source), a);
                TLanes.Store(a, sums + i);
            }

            position = tileEnd;
        }
    }

    /// <summary>As <see cref="SumOne"/>, for four rows over the positions that all of them see.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SumFour(AttentionStep* step, AttentionUnit unit, float* probabilities, nint stride, int first, int end, float* sums, int sumWidth)
    {
        var d = step->HeadSize;
        var decoding = IsDecoding(unit);
        float* p0 = probabilities, p1 = p0 + stride, p2 = p1 + stride, p3 = p2 + stride;
        for (var position = first; position < end;)
        {
            var tile = position / Width;
            var tileEnd = Math.Min(end, (tile + 1) * Width);
            var start = Values(step, unit, tile);
            var ahead = Values(step, unit, Math.Min(tile + 4, (end - 1) / Width)) - start;
            var values = start - ((nint)tile * Width * d);
            if (d < Width)
            {
                for (var r = 0; r < 4; r++) SumNarrow(values, probabilities + (r * stride), position, tileEnd, d, sums + (r * sumWidth));
                position = tileEnd;
                continue;
            }

            var i = 0;
            for (; TLanes.IsWide && i <= d - (2 * Width); i += 2 * Width)
            {
                float* s0 = sums + i, s1 = s0 + sumWidth, s2 = s1 + sumWidth, s3 = s2 + sumWidth;
                TLanes a0 = TLanes.Load(s0), a1 = TLanes.Load(s1), a2 = TLanes.Load(s2), a3 = TLanes.Load(s3);
                TLanes b0 = TLanes.Load(s0 + Width), b1 = TLanes.Load(s1 + Width), b2 = TLanes.Load(s2 + Width), b3 = TLanes.Load(s3 + Width);
                for (var p = position; p < tileEnd; p++)
                {
                    var v = values + ((nint)p * d) + i;
                    if (decoding)
                    {
                        Prefetch(v + ahead);
                        Prefetch(v + ahead + Width);
                    }

                    TLanes a = TLanes.Load(v), b = TLanes.Load(v + Width);
                    var probability = TLanes.Create(p0[p]);
                    a0 = TLanes.Fused(probability, a, a0);
                    b0 = TLanes.Fused(probability, b, b0);
                    probability = TLanes.Create(p1[p]);
                    a1 = TLanes.Fused(probability, a, a1);
                    b1 = TLanes.Fused(probability, b, b1);
                    probability = TLanes.Create(p2[p]);
                    a2 = TLanes.Fused(probability, a, a2);
                    b2 = TLanes.Fused(probability, b, b2);
                    probability = TLanes.Create(p3[p]);
                    a3 = TLanes.Fused(probability, a, a3);
                    b3 = TLanes.Fused(probability, b, b3);
                }

                StoreFour(a0, a1, a2, a3, s0, sumWidth);
                StoreFour(b0, b1, b2, b3, s0 + Width, sumWidth);
            }

            for (; i < d; i += Width)
            {
                var source = Math.Min(i, d - Width);
                float* s0 = sums + i, s1 = s0 + sumWidth, s2 = s1 + sumWidth, s3 = s2 + sumWidth;
                TLanes a0 = TLanes.Load(s0), a1 = TLanes.Load(s1), a2 = TLanes.Load(s2), a3 = TLanes.Load(s3);
                for (var p = position; p < tileEnd; p++)
                {
                    var v = TLanes.Load(values + ((nint)p * d) + source);
                    a0 = TLanes.Fused(TLanes.Create(p0[p]), v, a0);
                    a1 = TLanes.Fused(TLanes.Create(p1[p]), v, a1);
                    a2 = TLanes.Fused(TLanes.Create(p2[p]), v, a2);
                    a3 = TLanes.Fused(TLanes.Create(p3[p]), v, a3);
                }

                StoreFour(a0, a1, a2, a3, s0, sumWidth);
            }

            position = tileEnd;
        }
    }

    /// <summary>Heads of fewer than 16 elements, element by element.</summary>
    private static void SumNarrow(float* values, float* probabilities, int first, int end, int d, float* sums)
    {
        for (var i = 0; i < d; i++)
        {
            var sum = sums[i];
            for (var p = first; p < end; p++) sum = MathF.FusedMultiplyAdd(probabilities[p], values[((nint)p * d) + i], sum);
            sums[i] = sum;
        }
    }

    /// <summary>The tile at a place in the order of reading: the row's keys, then its values; the last of them beyond.</summary>
    private static float* Ahead(AttentionStep* step, AttentionUnit unit, int firstTile, int index, int tiles) =>
        index < tiles ? Keys(step, unit, firstTile + index) : Values(step, unit, firstTile + Math.Min(index - tiles, tiles - 1));

    // Rows of a prompt find their tiles in the cache after the first of them.
    private static bool IsDecoding(AttentionUnit unit) => unit.EndToken - unit.FirstToken == 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(float* address)
    {
        if (Sse.IsSupported) Sse.Prefetch0(address);
    }

    private static float* Keys(AttentionStep* step, AttentionUnit unit, int tile) =>
        step->KeyCache + step->TileOffset(unit.Sequence, unit.KvHead, tile);

    private static float* Values(AttentionStep* step, AttentionUnit unit, int tile) =>
        step->ValueCache + step->TileOffset(unit.Sequence, unit.KvHead, tile);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreFour(TLanes a, TLanes b, TLanes c, TLanes d, float* to, nint stride)
    {
        TLanes.Store(a, to);
        TLanes.Store(b, to + stride);
        TLanes.Store(c, to + (2 * stride));
        TLanes.Store(d, to + (3 * stride));
    }
}
