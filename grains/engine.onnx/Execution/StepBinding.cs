using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Onnx.Graph;
using Granary.Engine.Partitioning;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Native memory for a shard's inputs and outputs of a step, bound to its session; rebound only where a shape differs from the last step's.</summary>
internal sealed unsafe class StepBinding : IDisposable
{
    private readonly OrtIoBinding _binding;
    private readonly ShardSlice _slice;
    private readonly int _hiddenSize;
    private readonly int _blockTokens;
    private readonly int _blockCount;
    private readonly bool _isOnDevice;
    private readonly Tensor? _tokens;
    private readonly Tensor? _hiddenIn;
    private readonly Tensor _cumulative;
    private readonly Tensor _past;
    private readonly Tensor _blockTable;
    private readonly Tensor? _slots;
    private readonly Tensor? _metadata;
    private readonly Tensor? _hiddenRows;
    private readonly Tensor? _logitRows;
    private readonly Tensor? _hidden;
    private readonly Tensor? _logits;
    private readonly Tensor? _hiddenOut;
    private readonly List<Tensor> _tensors = [];

    public StepBinding(InferenceSession session, ShardShape shape, IKvCache cache, int maxTableWidth, bool isOnDevice)
    {
        _binding = session.CreateIoBinding();
        _slice = shape.Slice;
        (_hiddenSize, _blockTokens, _blockCount, _isOnDevice) = (shape.Whole.HiddenSize, shape.Whole.KvBlockTokens, shape.Whole.KvBlockCount, isOnDevice);
        long maxTokens = shape.MaxTokensPerStep, maxSequences = shape.MaxSequencesPerStep, maxRows = shape.Whole.MaxLogitRows;
        if (_slice.IsFirstStage) _tokens = Integers(GraphContract.TokenIds, maxTokens);
        else _hiddenIn = Floats(GraphContract.HiddenIn, maxTokens * _hiddenSize);
        _cumulative = Integers(GraphContract.CumulativeSequenceLength, maxSequences + 1);
        _past = Integers(GraphContract.PastSequenceLengths, maxSequences);
        _blockTable = Integers(GraphContract.BlockTable, maxSequences * maxTableWidth);
        if (isOnDevice)
        {
            _slots = Integers(GraphContract.SlotMapping, maxTokens);
            _metadata = Integers(GraphContract.AttentionMetadata, 2);
        }

        if (_slice.IsLastStage)
        {
            _hiddenRows = Integers(GraphContract.HiddenRows, maxTokens);
            _logitRows = Integers(GraphContract.LogitRows, maxRows);
            _hidden = Floats(GraphContract.Hidden, maxTokens * _hiddenSize);
            _logits = Floats(GraphContract.Logits, maxRows * _slice.Vocabulary.Count);
        }
        else _hiddenOut = Floats(GraphContract.HiddenOut, maxTokens * _hiddenSize);

        BindCaches(cache);
    }

    /// <summary>Room for a step's residual stream [tokens, hidden] from the stage before.</summary>
    public Span<float> HiddenIn(int tokens) => Of(_hiddenIn).Floats(tokens, _hiddenSize);

    public Span<float> HiddenOut(int tokens) => Of(_hiddenOut).Floats(tokens, _hiddenSize);

    public Span<float> Hidden(int rows) => Of(_hidden).Floats(rows, _hiddenSize);

    public Span<float> Logits(int rows) => Of(_logits).Floats(rows, _slice.Vocabulary.Count);

    /// <summary>Copies a plan's arrays and binds their shapes.</summary>
    public void Load(StepPlan plan)
    {
        var tableWidth = plan.BlockTableWidth;
        if (_tokens is not null) LoadTokens(_tokens, plan.TokenIds.AsSpan(0, plan.TokenCount));
        _hiddenIn?.BindInput(_binding, plan.TokenCount, _hiddenSize);
        _cumulative.Load(_binding, plan.CumulativeSequenceLengths.AsSpan(0, plan.SequenceCount + 1));
        _past.Load(_binding, plan.PastLengths.AsSpan(0, plan.SequenceCount));
        _blockTable.Write(plan.BlockTable.AsSpan(0, plan.SequenceCount * tableWidth));
        if (_slots is not null && _metadata is not null)
        {
            Span<int> bounds = stackalloc int[2];
            AttentionPlaces.Fill(plan, _blockTokens, _blockCount, _blockTable.Integers(plan.SequenceCount * tableWidth), _slots.Integers(plan.TokenCount), bounds);
            _slots.Load(_binding, _slots.Integers(plan.TokenCount));
            _metadata.Load(_binding, bounds);
        }

        _blockTable.BindInput(_binding, plan.SequenceCount, tableWidth);
        _hiddenRows?.Load(_binding, plan.HiddenRows.AsSpan(0, plan.HiddenCount));
        _logitRows?.Load(_binding, plan.LogitRows.AsSpan(0, plan.LogitCount));
        _hidden?.BindOutput(_binding, plan.HiddenCount, _hiddenSize);
        _logits?.BindOutput(_binding, plan.LogitCount, _slice.Vocabulary.Count);
        _hiddenOut?.BindOutput(_binding, plan.TokenCount, _hiddenSize);
    }

    public void Run(InferenceSession session, RunOptions options) => session.RunWithBinding(options, _binding);

    public void Dispose()
    {
        _binding.Dispose();
        foreach (var tensor in _tensors) tensor.Dispose();
    }

    private static Tensor Of(Tensor? tensor) => tensor ?? throw new InvalidOperationException("The shard's stage has no such input or output.");

    /// <summary>Token ids become rows of the rank's embedding table, where other ranks' ids are the row of zeros behind its own.</summary>
    private void LoadTokens(Tensor tensor, ReadOnlySpan<int> ids)
    {
        tensor.Write(ids);
        var (first, count) = _slice.Vocabulary;
        if (_slice.Ranks > 1) foreach (ref var id in tensor.Integers(ids.Length)) id = (int)Math.Min((uint)(id - first), (uint)count);
        tensor.Load(_binding, tensor.Integers(ids.Length));
    }

    private Tensor Integers(string name, long capacity) => Add(new(name, TensorElementType.Int32, capacity, _isOnDevice));

    private Tensor Floats(string name, long capacity) => Add(new(name, TensorElementType.Float, capacity, _isOnDevice));

    private Tensor Add(Tensor tensor)
    {
        _tensors.Add(tensor);
        return tensor;
    }

    private void BindCaches(IKvCache cache)
    {
        for (var place = 0; place < _slice.Layers.Count; place++)
        {
            var layer = _slice.Layers.First + place;
            _binding.BindInput(GraphContract.KeyCache(layer), cache.Keys(place));
            _binding.BindOutput(GraphContract.KeyCacheOut(layer), cache.Keys(place));
            _binding.BindInput(GraphContract.ValueCache(layer), cache.Values(place));
            _binding.BindOutput(GraphContract.ValueCacheOut(layer), cache.Values(place));
        }
    }

    /// <summary>One input or output with 4-byte elements: its memory, and the value bound last.</summary>
    private sealed class Tensor(string name, TensorElementType type, long capacity, bool copies) : IDisposable
    {
        private readonly long[] _shape = [-1, -1];
        private OrtValue? _value;
        private void* _memory = NativeMemory.AlignedAlloc((nuint)Math.Max(1, capacity) * 4, 64);

        public Span<int> Integers(int length)
        {
            ObjectDisposedException.ThrowIf(_memory is null, this);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(length, capacity);
            return new(_memory, length);
        }

        public Span<float> Floats(int rows, int columns)
        {
            ObjectDisposedException.ThrowIf(_memory is null, this);
            var length = checked(rows * columns);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(length, capacity);
            return new(_memory, length);
        }

        public void Write(ReadOnlySpan<int> values) => values.CopyTo(Integers(values.Length));

        /// <summary>Takes a vector's values and binds its length.</summary>
        public void Load(OrtIoBinding binding, ReadOnlySpan<int> values)
        {
            Write(values);
            if (Reshape(values.Length, 0) || copies) binding.BindInput(name, _value!);
        }

        public void BindInput(OrtIoBinding binding, long rows, long columns)
        {
            if (Reshape(rows, columns) || copies) binding.BindInput(name, _value!);
        }

        public void BindOutput(OrtIoBinding binding, long rows, long columns)
        {
            if (Reshape(rows, columns)) binding.BindOutput(name, _value!);
        }

        public void Dispose()
        {
            _value?.Dispose();
            NativeMemory.AlignedFree(_memory);
            _memory = null;
        }

        // Columns 0 is a vector. False where the bound value has the shape already.
        private bool Reshape(long rows, long columns)
        {
            if (_shape[0] == rows && _shape[1] == columns) return false;
            var value = OrtValue.CreateTensorValueWithData(
                OrtMemoryInfo.DefaultInstance, type, columns == 0 ? [rows] : [rows, columns], (nint)_memory, capacity * 4);
            _value?.Dispose();
            (_value, _shape[0], _shape[1]) = (value, rows, columns);
            return true;
        }
    }
}
