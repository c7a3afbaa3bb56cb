using System.Runtime.InteropServices;
using Granary.Engine.Execution;

namespace Granary.Engine.Simulation;

/// <summary>Stands in for a device: takes time by a cost model, and computes hidden states and logits that depend on every entry of the KV cache it reads.</summary>
/// <remarks>
/// A token's cache entry is a hash of the token and of all entries before it, read through the block table; its hidden state and its
/// logits are drawn from that hash. So a wrong block, position, order or stale content changes the output, as in a real model, and entries that were never
/// written, or written twice in a step, are errors; so are blocks that a step writes while another in flight uses them.
/// </remarks>
public sealed class SimulatedExecutor : IStepExecutor, IKvBlockStore
{
    private const int Peaks = 8;
    private const float PeakHeight = 4;

    private readonly SimulatedDevice _device;
    private readonly Action<TimeSpan> _wait;
    private readonly ulong[] _entries; // By block and place in it; 0 is never written.
    private readonly long[] _writtenIn; // The step that wrote the entry.
    private readonly float[] _noise;
    private readonly LocalStepOutput _output;
    private readonly StepPlan[] _begun; // A ring: the steps in flight.
    private long _steps;
    private long _ended;
    private TimeSpan _owed;

    /// <param name="wait">Lets time pass; by default the calling thread sleeps.</param>
    public SimulatedExecutor(SimulatedDevice device, Action<TimeSpan>? wait = null)
    {
        _device = device;
        _wait = wait ?? Sleep;
        Shape = new(device.VocabularySize, device.HiddenSize, device.ContextLength, device.KvBlockCount, device.KvBlockTokens, device.MaxLogitRows, device.StepsInFlight);
        _output = new(device.HiddenSize, device.VocabularySize);
        _begun = new StepPlan[device.StepsInFlight];
        for (var i = 0; i < _begun.Length; i++) _begun[i] = new();
        _entries = new ulong[device.KvBlockCount * device.KvBlockTokens];
        _writtenIn = new long[_entries.Length];
        _noise = new float[2 * device.VocabularySize];
        for (var i = 0; i < device.VocabularySize; i++)
            _noise[i] = _noise[i + device.VocabularySize] = Unit(Mix(0x6E6F697365, (ulong)i)) * 4 - 2;
    }

    public ExecutorShape Shape { get; }

    public IKvBlockStore BlockStore => this;

    public int BlockBytes => _device.KvBlockTokens * sizeof(ulong);

    public void Read(int block, Span<byte> content) => MemoryMarshal.AsBytes(EntriesOf(block)).CopyTo(content);

    public void Write(int block, ReadOnlySpan<byte> content) => content.CopyTo(MemoryMarshal.AsBytes(EntriesOf(block)));

    public void Begin(StepPlan plan)
    {
        if (_steps - _ended == _begun.Length) throw Wrong(plan, $"{_begun.Length} steps are in flight, the most that may be");
        if (_begun.Length > 1) CheckBlocks(plan);
        plan.CopyTo(_begun[_steps++ % _begun.Length]);
    }

    public StepOutput End()
    {
        if (_steps == _ended) throw new InvalidOperationException("No step has begun.");
        var plan = _begun[_ended++ % _begun.Length];
        if (plan.LogitCount > _device.MaxLogitRows) throw Wrong(plan, $"{plan.LogitCount} rows of logits are wanted, there is room for {_device.MaxLogitRows}");
        _output.Reserve(plan);

        var (hidden, logits) = (0, 0);
        for (var b = 0; b < plan.SequenceCount; b++) Advance(plan, b, ref hidden, ref logits);
        if (hidden != plan.HiddenCount) throw Wrong(plan, $"{plan.HiddenCount} hidden states are wanted, {hidden} of them are tokens of the step");
        if (logits != plan.LogitCount) throw Wrong(plan, $"{plan.LogitCount} rows of logits are wanted, {logits} of them have hidden states");

        var cost = CostOf(plan);
        if (cost > TimeSpan.Zero) _wait(cost);
        return _output;
    }

    public void Dispose()
    {
    }

    /// <summary>How long a step takes.</summary>
    public TimeSpan CostOf(StepPlan plan)
    {
        var cost = _device.PerStep;
        for (var b = 0; b < plan.SequenceCount; b++)
        {
            var tokens = plan.CumulativeSequenceLengths[b + 1] - plan.CumulativeSequenceLengths[b];
            cost += tokens == 1 && plan.PastLengths[b] > 0 ? _device.PerDecodingSequence : tokens * _device.PerPrefillToken;
        }

        return cost;
    }

    /// <summary>No step may write into a block that another in flight uses, nor read one that it writes.</summary>
    private void CheckBlocks(StepPlan plan)
    {
        for (var step = _ended; step < _steps; step++)
        {
            var ahead = _begun[step % _begun.Length];
            if (BlocksOf(plan, writtenOnly: true).Intersect(BlocksOf(ahead, writtenOnly: false))
                .Concat(BlocksOf(plan, writtenOnly: false).Intersect(BlocksOf(ahead, writtenOnly: true))).FirstOrDefault(-1) is var block and >= 0)
                throw Wrong(plan, $"it uses block {block}, which step {ahead.Step} uses, and one of them writes it");
        }
    }

    private IEnumerable<int> BlocksOf(StepPlan plan, bool writtenOnly)
    {
        for (var b = 0; b < plan.SequenceCount; b++)
        {
            var end = plan.PastLengths[b] + plan.CumulativeSequenceLengths[b + 1] - plan.CumulativeSequenceLengths[b];
            for (var position = writtenOnly ? plan.PastLengths[b] : 0; position < end; position += _device.KvBlockTokens - position % _device.KvBlockTokens)
                yield return PlaceOf(plan, b, position) / _device.KvBlockTokens;
        }
    }

    private void Advance(StepPlan plan, int b, ref int hidden, ref int logits)
    {
        var (start, end) = (plan.CumulativeSequenceLengths[b], plan.CumulativeSequenceLengths[b + 1]);
        var past = plan.PastLengths[b];
        if (start >= end || end > plan.TokenCount) throw Wrong(plan, $"sequence {b} owns tokens [{start}, {end}) of {plan.TokenCount}");
        if (past < 0 || past + end - start > _device.ContextLength)
            throw Wrong(plan, $"sequence {b} reaches {past + end - start} tokens, the context holds {_device.ContextLength}");

        ulong history = 0;
        for (var position = 0; position < past; position++)
        {
            var entry = _entries[PlaceOf(plan, b, position)];
            if (entry == 0) throw Wrong(plan, $"sequence {b} reads position {position}, which was never written");
            history = Mix(history, entry);
        }

        for (var t = start; t < end; t++)
        {
            if ((uint)plan.TokenIds[t] >= (uint)_device.VocabularySize) throw Wrong(plan, $"token {t} is {plan.TokenIds[t]}");
            var place = PlaceOf(plan, b, past + t - start);
            if (_writtenIn[place] == plan.Step) throw Wrong(plan, $"sequence {b} writes position {past + t - start} over another's");

            _writtenIn[place] = plan.Step;
            _entries[place] = Mix(history, (ulong)plan.TokenIds[t]) | 1;
            history = Mix(history, _entries[place]);
            if (hidden == plan.HiddenCount || plan.HiddenRows[hidden] != t) continue;

            WriteHidden(history, _output.Hidden.Slice(hidden * _device.HiddenSize, _device.HiddenSize));
            if (logits < plan.LogitCount && plan.LogitRows[logits] == hidden)
                WriteLogits(history, _output.Logits(logits++));
            hidden++;
        }
    }

    private Span<ulong> EntriesOf(int block) => _entries.AsSpan(block * _device.KvBlockTokens, _device.KvBlockTokens);

    private int PlaceOf(StepPlan plan, int b, int position)
    {
        var index = position / _device.KvBlockTokens;
        var block = index < plan.BlockTableWidth ? plan.BlockTable[b * plan.BlockTableWidth + index] : -1;
        if ((uint)block >= (uint)_device.KvBlockCount) throw Wrong(plan, $"sequence {b} has block {block} at position {position}");
        return block * _device.KvBlockTokens + position % _device.KvBlockTokens;
    }

    private static void WriteHidden(ulong history, Span<float> row)
    {
        for (var i = 0; i < row.Length; i++) row[i] = Unit(Mix(history, (ulong)i)) * 2 - 1;
    }

    private void WriteLogits(ulong history, Span<float> row)
    {
        _noise.AsSpan((int)(history % (ulong)row.Length), row.Length).CopyTo(row);
        for (var peak = 1; peak <= Peaks; peak++)
        {
            var hash = Mix(history, (ulong)peak);
            row[(int)(hash % (ulong)row.Length)] += PeakHeight + Unit(hash);
        }
    }

    /// <summary>Sleeps whole milliseconds, and keeps account of the rest.</summary>
    private void Sleep(TimeSpan duration)
    {
        _owed += duration;
        var whole = TimeSpan.FromMilliseconds(Math.Floor(_owed.TotalMilliseconds));
        if (whole <= TimeSpan.Zero) return; // Negative after a sleep that took longer than it should; as a timeout, -1 ms is forever.
        var started = TimeProvider.System.GetTimestamp();
        Thread.Sleep(whole);
        _owed -= TimeProvider.System.GetElapsedTime(started);
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
