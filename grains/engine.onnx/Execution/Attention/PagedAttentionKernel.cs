using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Granary.Engine.Onnx.Native;

namespace Granary.Engine.Onnx.Execution;

/// <summary>One PagedAttention node of a session: takes its tensors, checks what would be read or written out of bounds, and computes.</summary>
/// <remarks>A session runs a node on one thread at a time; workers of <see cref="OrtApi.ParallelFor"/> only read what it prepared.</remarks>
internal sealed unsafe class PagedAttentionKernel(PagedAttentionAttributes attributes)
{
    // Tokens of a work item: few enough that long prompts spread over threads, enough that keys are read once for many rows.
    private const int UnitTokens = 32;

    // Multiply-adds below which waking other threads costs more than it brings.
    private const long ParallelThreshold = 500_000;

    private Exception? _workerFailure;

    /// <summary>Runs the node of one step.</summary>
    /// <exception cref="InvalidOperationException">A tensor's shape or a value in it is out of bounds; names it.</exception>
    public void Compute(nint context, nint self)
    {
        AttentionStep step = default;
        step.Owner = self;
        Bind(context, ref step, out var sequences, out var blocks, out var positions);
        var cumulative = (int*)OrtApi.Data(OrtApi.Input(context, 5));
        var past = (int*)OrtApi.Data(OrtApi.Input(context, 6));
        Plan(ref step, cumulative, past, sequences, blocks, positions, AttentionScratch.Current, out var units, out var work);
        BindOutputs(context, ref step);
        Run(context, &step, units, work);
    }

    /// <summary>Lays out the step's tokens and work items in a thread's scratch, and checks positions and blocks.</summary>
    internal static void Plan(
        ref AttentionStep step, int* cumulative, int* past, int sequences, long blocks, long positions, AttentionScratch scratch, out int units, out long work)
    {
        step.Places = scratch.Places.Get<TokenPlace>(Math.Max(1, step.TokenCount));
        step.Rotated = scratch.Rotated.Get<float>(Math.Max(1, (nint)step.TokenCount * step.Heads * step.HeadSize));
        step.Units = scratch.Units.Get<AttentionUnit>(Math.Max(1, ((step.TokenCount / UnitTokens) + sequences) * (nint)step.KvHeads));
        (units, work) = (0, 0);
        if (cumulative[0] != 0 || cumulative[sequences] != step.TokenCount)
        {
            throw new InvalidOperationException($"cumulative_sequence_length runs from {cumulative[0]} to {cumulative[sequences]}; it runs from 0 to {step.TokenCount}, the tokens.");
        }

        for (var b = 0; b < sequences; b++)
        {
            int first = cumulative[b], end = cumulative[b + 1];
            if (end < first || past[b] < 0) throw new InvalidOperationException($"Sequence {b} has tokens [{first}, {end}) after {past[b]} past ones.");
            if (end == first) continue;
            var length = (long)past[b] + (end - first);
            CheckLength(in step, b, length, past[b], blocks, positions);
            for (var token = first; token < end; token++) step.Places[token] = new TokenPlace { Sequence = b, Position = past[b] + token - first };

            for (var head = 0; head < step.KvHeads; head++)
            {
                for (var token = first; token < end; token += UnitTokens)
                {
                    step.Units[units++] = new AttentionUnit { Sequence = b, KvHead = head, FirstToken = token, EndToken = Math.Min(end, token + UnitTokens) };
                }
            }

            var seen = step.Window > 0 ? Math.Min(length, step.Window) : length;
            work += 2 * seen * (end - first) * step.Heads * step.HeadSize;
        }
    }

    private static void CheckLength(in AttentionStep step, int sequence, long length, int past, long blocks, long positions)
    {
        if (length > positions) throw new InvalidOperationException($"Sequence {sequence} reaches position {length - 1}; cos_cache has {positions}.");
        if (length > (long)step.TableWidth * step.BlockTokens)
        {
            throw new InvalidOperationException($"Sequence {sequence} has {length} tokens; a row of block_table has room for {(long)step.TableWidth * step.BlockTokens}.");
        }

        var oldest = step.Window > 0 ? Math.Max(0, past + 1 - step.Window) : 0;
        for (var entry = oldest / step.BlockTokens; entry <= (int)((length - 1) / step.BlockTokens); entry++)
        {
            var block = step.BlockTable[((nint)sequence * step.TableWidth) + entry];
            if ((uint)block >= (ulong)blocks) throw new InvalidOperationException($"block_table[{sequence}, {entry}] is {block}; the cache has {blocks} blocks.");
        }
    }

    private void Bind(nint context, ref AttentionStep step, out int sequences, out long blocks, out long positions)
    {
        var inputs = OrtApi.InputCount(context);
        Span<long> shape = stackalloc long[4];
        var keyCache = Tensor(context, 3, "key_cache", shape, 4);
        (blocks, step.BlockTokens, step.HeadSize) = (shape[0], (int)shape[1], (int)shape[3]);
        Span<long> valueShape = stackalloc long[4];
        var valueCache = Tensor(context, 4, "value_cache", valueShape, 4);
        (step.Heads, step.KvHeads) = (attributes.Heads, attributes.KvHeads);
        var d = step.HeadSize;
        if (shape[2] != step.KvHeads || step.BlockTokens % AttentionStep.TileTokens != 0 || step.BlockTokens < 1 || d is < 2 or > TokenPreparation<Lanes128>.MaxHeadSize || d % 2 != 0)
        {
            throw new InvalidOperationException(
                $"key_cache is {Text(shape)}; wanted are blocks of a multiple of {AttentionStep.TileTokens} tokens, {step.KvHeads} heads and an even head size up to {TokenPreparation<Lanes128>.MaxHeadSize}.");
        }

        if (!shape.SequenceEqual(valueShape)) throw new InvalidOperationException($"value_cache is {Text(valueShape)}; key_cache is {Text(shape)}.");
        step.KeyCache = (float*)OrtApi.Data(keyCache);
        step.ValueCache = (float*)OrtApi.Data(valueCache);
        BindQueries(context, ref step, d);

        Tensor(context, 5, "cumulative_sequence_length", shape, 1);
        sequences = (int)shape[0] - 1;
        Tensor(context, 6, "past_seqlens", shape, 1);
        var table = Tensor(context, 7, "block_table", valueShape, 2);
        if (sequences < 0 || shape[0] != sequences || valueShape[0] != sequences)
        {
            throw new InvalidOperationException($"cumulative_sequence_length is for {sequences} sequences, past_seqlens for {shape[0]}, block_table for {valueShape[0]}.");
        }

        step.BlockTable = (int*)OrtApi.Data(table);
        step.TableWidth = (int)valueShape[1];
        positions = BindRotation(context, ref step, inputs);
        if (Optional(context, 10, inputs) != 0 || Optional(context, 11, inputs) != 0)
        {
            throw new InvalidOperationException("slot_mapping and head_sink are not supported on the CPU.");
        }

        step.QueryNorm = NormWeights(context, 12, "q_norm_weight", inputs, d);
        step.KeyNorm = NormWeights(context, 13, "k_norm_weight", inputs, d);
        step.Scale = attributes.Scale == 0 ? 1f / MathF.Sqrt(d) : attributes.Scale;
        (step.Softcap, step.Window, step.NormEpsilon) = (attributes.Softcap, attributes.LocalWindowSize, attributes.NormEpsilon);
    }

    private static void BindQueries(nint context, ref AttentionStep step, int d)
    {
        Span<long> shape = stackalloc long[2];
        Span<long> keyShape = stackalloc long[2];
        Span<long> valueShape = stackalloc long[2];
        step.Query = (float*)OrtApi.Data(Tensor(context, 0, "query", shape, 2));
        step.TokenCount = (int)shape[0];
        step.QueryStride = (nint)shape[1];
        int queryWidth = step.Heads * d, keyWidth = step.KvHeads * d;
        if (OrtApi.Input(context, 1) == 0 && OrtApi.Input(context, 2) == 0)
        {
            if (shape[1] != queryWidth + (2 * keyWidth)) throw new InvalidOperationException($"packed query is {Text(shape)}; it needs {queryWidth + (2 * keyWidth)} columns.");
            step.Key = step.Query + queryWidth;
            step.Value = step.Key + keyWidth;
            step.KeyStride = step.QueryStride;
            return;
        }

        step.Key = (float*)OrtApi.Data(Tensor(context, 1, "key", keyShape, 2));
        step.Value = (float*)OrtApi.Data(Tensor(context, 2, "value", valueShape, 2));
        step.KeyStride = keyWidth;
        if (shape[1] != queryWidth || keyShape[0] != shape[0] || keyShape[1] != keyWidth || !keyShape.SequenceEqual(valueShape))
        {
            throw new InvalidOperationException(
                $"query is {Text(shape)}, key {Text(keyShape)}, value {Text(valueShape)}; wanted are {queryWidth}, {keyWidth} and {keyWidth} columns and as many rows each.");
        }
    }

    private long BindRotation(nint context, ref AttentionStep step, int inputs)
    {
        if (!attributes.Rotary) return long.MaxValue;
        if (Optional(context, 8, inputs) == 0 || Optional(context, 9, inputs) == 0) throw new InvalidOperationException("do_rotary is set but cos_cache or sin_cache is absent.");
        Span<long> shape = stackalloc long[2];
        Span<long> sineShape = stackalloc long[2];
        step.Cosine = (float*)OrtApi.Data(Tensor(context, 8, "cos_cache", shape, 2));
        step.Sine = (float*)OrtApi.Data(Tensor(context, 9, "sin_cache", sineShape, 2));
        if (!shape.SequenceEqual(sineShape) || shape[1] < 1 || shape[1] > step.HeadSize / 2)
        {
            throw new InvalidOperationException($"cos_cache is {Text(shape)} and sin_cache {Text(sineShape)}; both have the same shape and at most {step.HeadSize / 2} columns.");
        }

        (step.RotaryPairs, step.Interleaved) = ((int)shape[1], attributes.RotaryInterleaved);
        return shape[0];
    }

    private static void BindOutputs(nint context, ref AttentionStep step)
    {
        step.Output = (float*)OrtApi.Data(OrtApi.Output(context, 0, [step.TokenCount, step.Heads * step.HeadSize]));
        var outputs = OrtApi.OutputCount(context);
        Span<long> shape = stackalloc long[4];
        for (var index = 1; index < outputs; index++)
        {
            OrtApi.Shape(OrtApi.Input(context, 2 + index), shape);
            var output = OrtApi.Output(context, index, shape);
            if (output != 0 && OrtApi.Data(output) != (index == 1 ? step.KeyCache : step.ValueCache))
            {
                throw new InvalidOperationException($"{(index == 1 ? "key_cache_out" : "value_cache_out")} must be bound to the memory of its input.");
            }
        }
    }

    private void Run(nint context, AttentionStep* step, int units, long work)
    {
        if (work < ParallelThreshold)
        {
            AttentionKernels.Best.Prepare(step, 0, step->TokenCount);
            for (var unit = 0; unit < units; unit++) AttentionKernels.Best.Attend(step, unit);
            return;
        }

        _workerFailure = null;
        OrtApi.ParallelFor(context, &PrepareOnWorker, (step->TokenCount + UnitTokens - 1) / UnitTokens, step);
        if (_workerFailure is null) OrtApi.ParallelFor(context, &AttendOnWorker, units, step);
        if (_workerFailure is { } failure) throw new InvalidOperationException($"A worker failed: {failure.Message}", failure);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void PrepareOnWorker(void* state, nuint index)
    {
        var step = (AttentionStep*)state;
        try
        {
            var first = (int)index * UnitTokens;
            AttentionKernels.Best.Prepare(step, first, Math.Min(step->TokenCount, first + UnitTokens));
        }
        catch (Exception exception)
        {
            Fail(step, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void AttendOnWorker(void* state, nuint index)
    {
        var step = (AttentionStep*)state;
        try
        {
            AttentionKernels.Best.Attend(step, (int)index);
        }
        catch (Exception exception)
        {
            Fail(step, exception);
        }
    }

    private static void Fail(AttentionStep* step, Exception exception) =>
        ((PagedAttentionKernel)GCHandle.FromIntPtr(step->Owner).Target!)._workerFailure = exception;

    private static nint Optional(nint context, int index, int inputs) => index < inputs ? OrtApi.Input(context, index) : 0;

    private static float* NormWeights(nint context, int index, string name, int inputs, int d)
    {
        if (Optional(context, index, inputs) == 0) return null;
        Span<long> shape = stackalloc long[1];
        var tensor = Tensor(context, index, name, shape, 1);
        return shape[0] == d ? (float*)OrtApi.Data(tensor) : throw new InvalidOperationException($"{name} has {shape[0]} elements; the head size is {d}.");
    }

    private static nint Tensor(nint context, int index, string name, Span<long> shape, int rank)
    {
        var tensor = OrtApi.Input(context, index);
        if (tensor == 0) throw new InvalidOperationException($"{name} is absent.");
        var actual = OrtApi.Shape(tensor, shape);
        return actual == rank ? tensor : throw new InvalidOperationException($"{name} has {actual} dimensions, not {rank}.");
    }

    private static string Text(ReadOnlySpan<long> shape) => $"[{string.Join(", ", shape.ToArray())}]";
}
