using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Onnx.Graph;
using Granary.Engine.Onnx.Import;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Native memory for a step's inputs and outputs, bound to a session; rebound only where a shape differs from the last step's.</summary>
/// <remarks>As a step's output it is the memory that the session wrote.</remarks>
internal sealed unsafe class StepBinding : StepOutput, IDisposable
{
    private readonly OrtIoBinding _binding;
    private readonly Tensor _tokens;
    private readonly Tensor _cumulative;
    private readonly Tensor _past;
    private readonly Tensor _blockTable;
    private readonly Tensor _hiddenRows;
    private readonly Tensor _logitRows;
    private readonly Tensor _hidden;
    private readonly Tensor _logits;
    private readonly List<OrtValue> _caches = [];
    private readonly ExecutorShape _shape;
    private int _hiddenCount;
    private int _logitCount;

    public StepBinding(
        InferenceSession session, ModelDescription model, ExecutorShape shape, KvCacheMemory cache, int maxTokens, int maxSequences, int maxTableWidth)
    {
        _binding = session.CreateIoBinding();
        _shape = shape;
        _tokens = new(GraphContract.TokenIds, TensorElementType.Int32, maxTokens);
        _cumulative = new(GraphContract.CumulativeSequenceLength, TensorElementType.Int32, maxSequences + 1);
        _past = new(GraphContract.PastSequenceLengths, TensorElementType.Int32, maxSequences);
        _blockTable = new(GraphContract.BlockTable, TensorElementType.Int32, (long)maxSequences * maxTableWidth);
        _hiddenRows = new(GraphContract.HiddenRows, TensorElementType.Int32, maxTokens);
        _logitRows = new(GraphContract.LogitRows, TensorElementType.Int32, shape.MaxLogitRows);
        _hidden = new(GraphContract.Hidden, TensorElementType.Float, (long)maxTokens * shape.HiddenSize);
        _logits = new(GraphContract.Logits, TensorElementType.Float, (long)shape.MaxLogitRows * shape.VocabularySize);
        BindCaches(model, cache);
    }

    public override Span<float> Hidden => new(_hidden.Memory, checked(_hiddenCount * _shape.HiddenSize));

    public override Span<float> Logits(int row)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)_logitCount, nameof(row));
        return new((float*)_logits.Memory + (nint)row * _shape.VocabularySize, _shape.VocabularySize);
    }

    /// <summary>Copies a plan's arrays and binds their shapes.</summary>
    public void Load(StepPlan plan)
    {
        (_hiddenCount, _logitCount) = (plan.HiddenCount, plan.LogitCount);
        var tableWidth = plan.BlockTableWidth;
        _tokens.Write(plan.TokenIds.AsSpan(0, plan.TokenCount));
        _cumulative.Write(plan.CumulativeSequenceLengths.AsSpan(0, plan.SequenceCount + 1));
        _past.Write(plan.PastLengths.AsSpan(0, plan.SequenceCount));
        _blockTable.Write(plan.BlockTable.AsSpan(0, plan.SequenceCount * tableWidth));
        _hiddenRows.Write(plan.HiddenRows.AsSpan(0, plan.HiddenCount));
        _logitRows.Write(plan.LogitRows.AsSpan(0, plan.LogitCount));
        _tokens.BindInput(_binding, plan.TokenCount);
        _cumulative.BindInput(_binding, plan.SequenceCount + 1);
        _past.BindInput(_binding, plan.SequenceCount);
        _blockTable.BindInput(_binding, plan.SequenceCount, tableWidth);
        _hiddenRows.BindInput(_binding, plan.HiddenCount);
        _logitRows.BindInput(_binding, plan.LogitCount);
        _hidden.BindOutput(_binding, plan.HiddenCount, _shape.HiddenSize);
        _logits.BindOutput(_binding, plan.LogitCount, _shape.VocabularySize);
    }

    public void Run(InferenceSession session, RunOptions options) => session.RunWithBinding(options, _binding);

    public void Dispose()
    {
        _binding.Dispose();
        foreach (var tensor in (ReadOnlySpan<Tensor>)[_tokens, _cumulative, _past, _blockTable, _hiddenRows, _logitRows, _hidden, _logits]) tensor.Dispose();
        foreach (var cache in _caches) cache.Dispose();
    }

    private void BindCaches(ModelDescription model, KvCacheMemory cache)
    {
        long[] shape = [cache.BlockCount, KvCacheMemory.BlockTokens, model.KvHeadCount, model.HeadSize];
        for (var layer = 0; layer < model.LayerCount; layer++)
        {
            Bind(GraphContract.KeyCache(layer), GraphContract.KeyCacheOut(layer), cache.Keys(layer));
            Bind(GraphContract.ValueCache(layer), GraphContract.ValueCacheOut(layer), cache.Values(layer));
        }

        void Bind(string input, string output, float* memory)
        {
            var value = OrtValue.CreateTensorValueWithData(
                OrtMemoryInfo.DefaultInstance, TensorElementType.Float, shape, (nint)memory, cache.TensorElements * sizeof(float));
            _caches.Add(value);
            _binding.BindInput(input, value);
            _binding.BindOutput(output, value);
        }
    }

    /// <summary>One input or output with 4-byte elements: its memory, and the value bound last.</summary>
    private sealed class Tensor(string name, TensorElementType type, long capacity) : IDisposable
    {
        private readonly long[] _shape = [-1, -1];
        private OrtValue? _value;

        public void* Memory { get; private set; } = NativeMemory.AlignedAlloc((nuint)Math.Max(1, capacity) * 4, 64);

        public void Write(ReadOnlySpan<int> values) => values.CopyTo(new Span<int>(Memory, checked((int)capacity)));

        public void BindInput(OrtIoBinding binding, long length)
        {
            if (Reshape(length, 0)) binding.BindInput(name, _value!);
        }

        public void BindInput(OrtIoBinding binding, long rows, long columns)
        {
            if (Reshape(rows, columns)) binding.BindInput(name, _value!);
        }

        public void BindOutput(OrtIoBinding binding, long rows, long columns)
        {
            if (Reshape(rows, columns)) binding.BindOutput(name, _value!);
        }

        public void Dispose()
        {
            _value?.Dispose();
            NativeMemory.AlignedFree(Memory);
            Memory = null;
        }

        // Columns 0 is a vector. False where the bound value has the shape already.
        private bool Reshape(long rows, long columns)
        {
            if (_shape[0] == rows && _shape[1] == columns) return false;
            var value = OrtValue.CreateTensorValueWithData(
                OrtMemoryInfo.DefaultInstance, type, columns == 0 ? [rows] : [rows, columns], (nint)Memory, capacity * 4);
            _value?.Dispose();
            (_value, _shape[0], _shape[1]) = (value, rows, columns);
            return true;
        }
    }
}
