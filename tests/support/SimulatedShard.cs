using Granary.Engine.Execution;
using Granary.Engine.Partitioning;

namespace Granary.Tests.Support;

/// <summary>A shard without a device: its values are integers that depend on every token, position, block, activation and partial sum it is given.</summary>
/// <remarks>
/// A layer's cache entry is a hash of the token's residual row; what a head adds to the residual stream is drawn from a hash over the entries of all positions,
/// read through the block table. So a wrong order, slot, row, rank or stale block changes the outcome, and however a model is cut, it computes the same: all
/// sums are of small integers, exact in any order and in 16 bits. Entries that were never written, or written twice in a step, are errors.
/// </remarks>
public sealed class SimulatedShard : IShardExecutor
{
    private const int Modulus = 1024; // Residual values stay below it, partial sums below twice that: exact as float16.

    private readonly SimulatedModel _model;
    private readonly ShardSlice _slice;
    private readonly IRankReducer? _reducer;
    private readonly ulong[][] _entries; // By layer and KV head of the slice; then by block and place in it. 0 is never written.
    private readonly long[][] _writtenIn;
    private readonly float[] _residual;
    private readonly float[] _partial;
    private readonly float[] _hidden;
    private readonly float[] _logits;
    private int _tokens;
    private int _hiddenCount;
    private int _logitCount;

    public SimulatedShard(SimulatedModel model, ShardSlice slice, int stepsInFlight, IRankReducer? reducer)
    {
        _model = model;
        _slice = slice;
        _reducer = reducer;
        Shape = new(slice, model.Shape(stepsInFlight), model.MaxTokensPerStep, model.MaxSequencesPerStep);
        var caches = slice.Layers.Count * slice.KvHeads.Count;
        _entries = [.. Enumerable.Range(0, caches).Select(_ => new ulong[model.KvBlockCount * model.KvBlockTokens])];
        _writtenIn = [.. Enumerable.Range(0, caches).Select(_ => new long[model.KvBlockCount * model.KvBlockTokens])];
        _residual = new float[model.MaxTokensPerStep * model.HiddenSize];
        _partial = new float[_residual.Length];
        _hidden = new float[_residual.Length];
        _logits = new float[model.MaxLogitRows * slice.Vocabulary.Count];
    }

    public ShardShape Shape { get; }

    /// <summary>Called with each plan before it runs, on the shard's thread; what it throws is the step's failure.</summary>
    public Action<StepPlan>? BeforeStep { get; set; }

    /// <summary>Called after each step.</summary>
    public Action<StepPlan>? AfterStep { get; set; }

    /// <summary>The thread that disposed it.</summary>
    public Thread? DisposedBy { get; private set; }

    public ReadOnlySpan<float> Output => _slice.IsLastStage ? [] : _residual.AsSpan(0, _tokens * _model.HiddenSize);

    public ReadOnlySpan<float> Hidden => _slice.IsLastStage ? _hidden.AsSpan(0, _hiddenCount * _model.HiddenSize) : [];

    public ReadOnlySpan<float> Logits => _slice.IsLastStage ? _logits.AsSpan(0, _logitCount * _slice.Vocabulary.Count) : [];

    public Span<float> Input(int tokens) => _residual.AsSpan(0, tokens * _model.HiddenSize);

    public void Execute(StepPlan plan)
    {
        BeforeStep?.Invoke(plan);
        (_tokens, _hiddenCount, _logitCount) = (plan.TokenCount, plan.HiddenCount, plan.LogitCount);
        if (_slice.IsFirstStage) Embed(plan);
        for (var layer = 0; layer < _slice.Layers.Count; layer++)
        {
            Attend(plan, layer);
            Feed(plan, layer);
        }

        if (_slice.IsLastStage) WriteRows(plan);
        AfterStep?.Invoke(plan);
    }

    public void Dispose() => DisposedBy = Thread.CurrentThread;

    private void Embed(StepPlan plan)
    {
        var rows = _residual.AsSpan(0, plan.TokenCount * _model.HiddenSize);
        rows.Clear();
        for (var t = 0; t < plan.TokenCount; t++)
        {
            var id = plan.TokenIds[t] - _slice.Vocabulary.First;
            if ((uint)id >= (uint)_slice.Vocabulary.Count) continue;
            for (var i = 0; i < _model.HiddenSize; i++) Row(rows, t)[i] = Mix((ulong)plan.TokenIds[t] + 1, (ulong)i) % Modulus;
        }

        Reduce(rows);
    }

    private void Attend(StepPlan plan, int layer)
    {
        var sums = _partial.AsSpan(0, plan.TokenCount * _model.HiddenSize);
        sums.Clear();
        for (var kvHead = 0; kvHead < _slice.KvHeads.Count; kvHead++)
        {
            for (var b = 0; b < plan.SequenceCount; b++) Attend(plan, layer, kvHead, b, sums);
        }

        Add(sums);
    }

    private void Attend(StepPlan plan, int layer, int kvHead, int b, Span<float> sums)
    {
        var entries = _entries[layer * _slice.KvHeads.Count + kvHead];
        var writtenIn = _writtenIn[layer * _slice.KvHeads.Count + kvHead];
        var globalLayer = (ulong)(_slice.Layers.First + layer);
        var globalHead = _slice.KvHeads.First + kvHead;
        var group = _model.HeadCount / _model.KvHeadCount;
        var (start, end) = (plan.CumulativeSequenceLengths[b], plan.CumulativeSequenceLengths[b + 1]);
        var past = plan.PastLengths[b];

        var history = globalLayer;
        for (var position = 0; position < past; position++)
        {
            var entry = entries[PlaceOf(plan, b, position)];
            if (entry == 0) throw Wrong(plan, $"sequence {b} reads position {position}, which was never written");
            history = Mix(history, entry);
        }

        for (var t = start; t < end; t++)
        {
            var place = PlaceOf(plan, b, past + t - start);
            if (writtenIn[place] == plan.Step) throw Wrong(plan, $"sequence {b} writes position {past + t - start} over another's");
            writtenIn[place] = plan.Step;
            entries[place] = Mix(HashOf(t), (ulong)globalHead) | 1;
            history = Mix(history, entries[place]);
            for (var head = globalHead * group; head < (globalHead + 1) * group; head++)
            {
                if (head < _slice.Heads.First || head >= _slice.Heads.End) continue;
                var hash = Mix(history, (ulong)head);
                for (var i = 0; i < _model.HiddenSize; i++) Row(sums, t)[i] += Mix(hash, (ulong)i) % 64;
            }
        }
    }

    private void Feed(StepPlan plan, int layer)
    {
        var sums = _partial.AsSpan(0, plan.TokenCount * _model.HiddenSize);
        sums.Clear();
        for (var t = 0; t < plan.TokenCount; t++)
        {
            var hash = Mix(HashOf(t), (ulong)(_slice.Layers.First + layer));
            for (var column = _slice.Intermediate.First; column < _slice.Intermediate.End; column++) Row(sums, t)[column % _model.HiddenSize] += Mix(hash, (ulong)column) % 64;
        }

        Add(sums);
    }

    private void WriteRows(StepPlan plan)
    {
        for (var n = 0; n < plan.HiddenCount; n++)
        {
            var row = Row(_residual, plan.HiddenRows[n]);
            for (var i = 0; i < row.Length; i++) Row(_hidden, n)[i] = row[i] / Modulus - 0.5f;
        }

        for (var s = 0; s < plan.LogitCount; s++)
        {
            var hash = HashOf(plan.HiddenRows[plan.LogitRows[s]]);
            for (var column = 0; column < _slice.Vocabulary.Count; column++)
                _logits[s * _slice.Vocabulary.Count + column] = Unit(Mix(hash, (ulong)(_slice.Vocabulary.First + column))) * 8;
        }
    }

    private void Add(Span<float> sums)
    {
        Reduce(sums);
        for (var i = 0; i < sums.Length; i++) _residual[i] = (_residual[i] + sums[i]) % Modulus;
    }

    private void Reduce(Span<float> values)
    {
        if (_slice.Ranks > 1) _reducer!.AllReduce(values, _model.HiddenSize);
    }

    private ulong HashOf(int token)
    {
        ulong hash = 0;
        foreach (var value in Row(_residual, token)) hash = Mix(hash, BitConverter.SingleToUInt32Bits(value));
        return hash;
    }

    private Span<float> Row(Span<float> rows, int row) => rows.Slice(row * _model.HiddenSize, _model.HiddenSize);

    private int PlaceOf(StepPlan plan, int b, int position)
    {
        var index = position / _model.KvBlockTokens;
        var block = index < plan.BlockTableWidth ? plan.BlockTable[b * plan.BlockTableWidth + index] : -1;
        if ((uint)block >= (uint)_model.KvBlockCount) throw Wrong(plan, $"sequence {b} has block {block} at position {position}");
        return block * _model.KvBlockTokens + position % _model.KvBlockTokens;
    }

    private static StepFailedException Wrong(StepPlan plan, string what) => new($"Step {plan.Step}: {what}.");

    /// <summary>SplitMix64's finalizer over both words.</summary>
    private static ulong Mix(ulong a, ulong b)
    {
        var z = a * 0x9E3779B97F4A7C15 + b + 0x632BE59BD9B4E019;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    private static float Unit(ulong hash) => (hash >> 40) * (1f / (1 << 24));
}
