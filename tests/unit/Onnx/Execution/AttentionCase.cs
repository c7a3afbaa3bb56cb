using Granary.Engine.Onnx.Execution;

namespace Granary.Tests.Unit.Onnx.Execution;

/// <summary>Random sequences with their queries, keys and values, computed in double precision and by the kernels.</summary>
/// <remarks>What a token holds depends on the seed, the sequence and its position only, so a sequence can be cut into chunks at will.</remarks>
internal sealed unsafe class AttentionCase
{
    public required int Seed { get; init; }

    public int Heads { get; init; } = 4;

    public int KvHeads { get; init; } = 4;

    public int HeadSize { get; init; } = 64;

    public int BlockTokens { get; init; } = 16;

    public int Window { get; init; } = -1;

    public float Softcap { get; init; }

    public float Scale { get; init; }

    public int RotaryPairs { get; init; }

    public bool Interleaved { get; init; }

    public bool Norm { get; init; }

    public int Context { get; init; } = 256;

    private const float Epsilon = 1e-5f;
    private const int MaxSequences = 8;

    private float EffectiveScale => Scale == 0 ? 1f / MathF.Sqrt(HeadSize) : Scale;

    private int TableWidth => (Context + BlockTokens - 1) / BlockTokens;

    private readonly Dictionary<(int, int), float[]> _tokens = [];

    /// <summary>Query heads, then key heads, then value heads of a token.</summary>
    public float[] Token(int sequence, int position)
    {
        if (_tokens.TryGetValue((sequence, position), out var token)) return token;
        var random = new Random((Seed * 73_856_093) ^ (sequence * 19_349_663) ^ (position * 83_492_791));
        return _tokens[(sequence, position)] = [.. Enumerable.Range(0, (Heads + (2 * KvHeads)) * HeadSize).Select(_ => (float)((random.NextDouble() * 2) - 1))];
    }

    /// <summary>Weights of the norms, of queries then keys.</summary>
    private float[] NormWeights()
    {
        var random = new Random(Seed);
        return [.. Enumerable.Range(0, 2 * HeadSize).Select(_ => (float)random.NextDouble() + 0.5f)];
    }

    private (float[] Cosine, float[] Sine) Rotation()
    {
        var angles = from position in Enumerable.Range(0, Context)
                     from pair in Enumerable.Range(0, RotaryPairs)
                     select position * Math.Pow(100, -(double)pair / RotaryPairs);
        return ([.. angles.Select(a => (float)Math.Cos(a))], [.. angles.Select(a => (float)Math.Sin(a))]);
    }

    /// <summary>A token's output, head after head, in double precision, straight from the definition.</summary>
    public double[] Reference(int sequence, int position)
    {
        var (cosine, sine) = Rotation();
        var weights = NormWeights();
        var output = new double[Heads * HeadSize];
        var token = Token(sequence, position);
        for (var head = 0; head < Heads; head++)
        {
            var kvHead = head / (Heads / KvHeads);
            var query = Prepare(token.AsSpan(head * HeadSize, HeadSize), weights.AsSpan(0, HeadSize), position);
            var first = Window > 0 ? Math.Max(0, position + 1 - Window) : 0;
            var scores = new double[position + 1];
            for (var p = first; p <= position; p++)
            {
                var key = Prepare(Token(sequence, p).AsSpan((Heads + kvHead) * HeadSize, HeadSize), weights.AsSpan(HeadSize), p);
                var score = query.Zip(key, (a, b) => a * b).Sum() * EffectiveScale;
                scores[p] = Softcap > 0 ? Softcap * Math.Tanh(score / Softcap) : score;
            }

            var largest = scores.Skip(first).Max();
            var sum = scores.Skip(first).Sum(s => Math.Exp(s - largest));
            for (var p = first; p <= position; p++)
            {
                var value = Token(sequence, p).AsSpan((Heads + KvHeads + kvHead) * HeadSize, HeadSize);
                for (var i = 0; i < HeadSize; i++) output[(head * HeadSize) + i] += Math.Exp(scores[p] - largest) / sum * value[i];
            }
        }

        return output;

        double[] Prepare(ReadOnlySpan<float> source, ReadOnlySpan<float> norm, int at)
        {
            var x = new double[HeadSize];
            var squares = 0.0;
            foreach (var element in source) squares += (double)element * element;
            var factor = Norm ? 1 / Math.Sqrt((squares / HeadSize) + Epsilon) : 1;
            for (var i = 0; i < HeadSize; i++) x[i] = source[i] * factor * (Norm ? norm[i] : 1);
            for (var pair = 0; pair < RotaryPairs; pair++)
            {
                var (a, b) = Interleaved ? (2 * pair, (2 * pair) + 1) : (pair, pair + RotaryPairs);
                double c = cosine[(at * RotaryPairs) + pair], s = sine[(at * RotaryPairs) + pair];
                (x[a], x[b]) = ((x[a] * c) - (x[b] * s), (x[b] * c) + (x[a] * s));
            }

            return x;
        }
    }

    /// <summary>A KV cache with a scrambled block table and old content that must not matter.</summary>
    public sealed class Cache
    {
        private readonly float[] _keys;
        private readonly float[] _values;
        private readonly int[] _table;
        private readonly AttentionCase _case;

        public Cache(AttentionCase owner)
        {
            _case = owner;
            var blocks = MaxSequences * owner.TableWidth;
            var random = new Random(owner.Seed ^ 0x5EED);
            _keys = GC.AllocateArray<float>(blocks * owner.BlockTokens * owner.KvHeads * owner.HeadSize, pinned: true);
            _values = GC.AllocateArray<float>(_keys.Length, pinned: true);
            Array.Fill(_keys, float.NaN);
            Array.Fill(_values, float.NaN);
            _table = [.. Enumerable.Range(0, blocks).OrderBy(_ => random.Next())];
        }

        /// <summary>Computes chunks of sequences in one step; returns each token's output in the order of the chunks.</summary>
        public float[][] Step(AttentionKernels kernels, bool reverseUnits, params (int Sequence, int Past, int Count)[] chunks)
        {
            var c = _case;
            var tokens = chunks.Sum(chunk => chunk.Count);
            var width = (c.Heads + (2 * c.KvHeads)) * c.HeadSize;
            float[] packed = [.. from chunk in chunks from i in Enumerable.Range(0, chunk.Count) from x in c.Token(chunk.Sequence, chunk.Past + i) select x];
            int[] cumulative = [0, .. chunks.Select((_, i) => chunks.Take(i + 1).Sum(chunk => chunk.Count))];
            int[] past = [.. chunks.Select(chunk => chunk.Past)];
            int[] table = [.. chunks.SelectMany(chunk => _table.Skip(chunk.Sequence * c.TableWidth).Take(c.TableWidth))];
            var (cosine, sine) = c.Rotation();
            var weights = c.NormWeights();
            var output = new float[tokens * c.Heads * c.HeadSize];
            fixed (float* query = packed, to = output, keys = _keys, values = _values, cos = cosine, sin = sine, norm = weights)
            fixed (int* cumulativePointer = cumulative, pastPointer = past, tablePointer = table)
            {
                var step = new AttentionStep
                {
                    Heads = c.Heads,
                    KvHeads = c.KvHeads,
                    HeadSize = c.HeadSize,
                    BlockTokens = c.BlockTokens,
                    TableWidth = c.TableWidth,
                    Scale = c.EffectiveScale,
                    Softcap = c.Softcap,
                    Window = c.Window,
                    RotaryPairs = c.RotaryPairs,
                    Interleaved = c.Interleaved,
                    NormEpsilon = Epsilon,
                    Query = query,
                    Key = query + (c.Heads * c.HeadSize),
                    Value = query + ((c.Heads + c.KvHeads) * c.HeadSize),
                    QueryStride = width,
                    KeyStride = width,
                    KeyCache = keys,
                    ValueCache = values,
                    BlockTable = tablePointer,
                    Cosine = cos,
                    Sine = sin,
                    QueryNorm = c.Norm ? norm : null,
                    KeyNorm = c.Norm ? norm + c.HeadSize : null,
                    Output = to,
                    TokenCount = tokens,
                };
                PagedAttentionKernel.Plan(
                    ref step, cumulativePointer, pastPointer, chunks.Length, MaxSequences * c.TableWidth, c.Context, AttentionScratch.Current, out var units, out _);
                kernels.Prepare(&step, 0, tokens);
                for (var unit = 0; unit < units; unit++) kernels.Attend(&step, reverseUnits ? units - 1 - unit : unit);
            }

            return [.. output.Chunk(c.Heads * c.HeadSize)];
        }
    }
}
