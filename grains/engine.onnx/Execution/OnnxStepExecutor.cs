using Granary.Engine.Execution;
using Granary.Engine.Onnx.Graph;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Native;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Runs steps of an imported model on the CPU.</summary>
/// <remarks>
/// A token's logits are the same bits whatever else is in its step, however its prompt was cut into chunks, and whichever blocks it
/// was given: every operator works row by row, and attention in an order of its own. Used by one thread at a time.
/// </remarks>
public sealed class OnnxStepExecutor : IStepExecutor
{
    private readonly InferenceSession _session;
    private readonly KvCacheMemory _cache;
    private readonly StepBinding _binding;
    private readonly StepPlanCheck _check;
    private readonly RunOptions _runOptions = new();
    private long? _begun;
    private bool _disposed;

    private OnnxStepExecutor(InferenceSession session, ModelDescription model, OnnxExecutorOptions options, int blockCount, int contextLength, bool isPrepacked)
    {
        _session = session;
        var tableWidth = Blocks(contextLength);
        Model = model;
        IsPrepacked = isPrepacked;
        var logitRows = options.MaxLogitRowsPerStep == 0 ? 2 * options.MaxSequencesPerStep : options.MaxLogitRowsPerStep;
        Shape = new ExecutorShape(model.VocabularySize, model.HiddenSize, contextLength, blockCount, KvCacheMemory.BlockTokens, logitRows);
        _cache = new KvCacheMemory(model, blockCount);
        _binding = new StepBinding(session, model, Shape, _cache, options.MaxTokensPerStep, options.MaxSequencesPerStep, tableWidth);
        _check = new StepPlanCheck(Shape, options.MaxTokensPerStep, options.MaxSequencesPerStep, tableWidth);
    }

    public ExecutorShape Shape { get; }

    public ModelDescription Model { get; }

    /// <summary>Whether the weights are mapped from the prepacked form; false where the folder could not be written and they were packed in memory.</summary>
    public bool IsPrepacked { get; }

    /// <summary>Opens an imported folder; the first time on a machine its weights are laid out for the CPU and kept.</summary>
    /// <exception cref="ModelImportException">The folder is not an imported model.</exception>
    /// <exception cref="ModelSessionException">The runtime refuses the graph, or a size asked for is out of bounds.</exception>
    public static OnnxStepExecutor Open(string modelDirectory, OnnxExecutorOptions options)
    {
        var model = ModelDescription.Load(modelDirectory);
        Check(options);
        var (blockCount, contextLength) = Size(model, options);
        InferenceSession? session = null;
        try
        {
            var prepacked = PrepackedModel.Ensure(modelDirectory, model);
            using var sessionOptions = OnnxRuntimeEnvironment.CreateSessionOptions(options.IntraOpThreads);
            // The prepacked graph is optimized already.
            if (prepacked is not null) sessionOptions.GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL;
            session = new InferenceSession(prepacked ?? Path.Combine(modelDirectory, ModelDescription.GraphFileName), sessionOptions);
            CheckGraph(session, model);
            return new OnnxStepExecutor(session, model, options, blockCount, contextLength, prepacked is not null);
        }
        catch (Exception exception) when (exception is OnnxRuntimeException or IOException or OutOfMemoryException)
        {
            session?.Dispose();
            throw new ModelSessionException($"{modelDirectory}: {exception.Message}", exception);
        }
        catch
        {
            session?.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Begin(StepPlan plan)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_begun is { } step) throw new InvalidOperationException($"Step {step} has not ended.");
        _check.Check(plan);
        try
        {
            _binding.Load(plan);
        }
        catch (OnnxRuntimeException exception)
        {
            throw Failed(plan.Step, exception);
        }

        _begun = plan.Step;
    }

    /// <inheritdoc/>
    public StepOutput End()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var step = _begun ?? throw new InvalidOperationException("No step has begun.");
        _begun = null;
        try
        {
            _binding.Run(_session, _runOptions);
        }
        catch (OnnxRuntimeException exception)
        {
            throw Failed(step, exception);
        }

        return _binding;
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _binding.Dispose();
        _session.Dispose();
        _runOptions.Dispose();
        _cache.Dispose();
    }

    private static StepFailedException Failed(long step, OnnxRuntimeException exception) => new($"Step {step} failed: {exception.Message}", exception);

    private static int Blocks(int tokens) => (tokens + KvCacheMemory.BlockTokens - 1) / KvCacheMemory.BlockTokens;

    private static void Check(OnnxExecutorOptions options)
    {
        Bound(nameof(options.IntraOpThreads), options.IntraOpThreads, 1, 1024);
        Bound(nameof(options.ContextLength), options.ContextLength, 0, int.MaxValue);
        Bound(nameof(options.KvBlockCount), options.KvBlockCount, 0, int.MaxValue);
        Bound(nameof(options.KvMemoryBytes), options.KvMemoryBytes, 0, long.MaxValue);
        Bound(nameof(options.MaxTokensPerStep), options.MaxTokensPerStep, 1, 65_536);
        Bound(nameof(options.MaxSequencesPerStep), options.MaxSequencesPerStep, 1, 4096);
        if (options.MaxLogitRowsPerStep != 0) Bound(nameof(options.MaxLogitRowsPerStep), options.MaxLogitRowsPerStep, options.MaxSequencesPerStep, 65_536);

        static void Bound(string option, long value, long least, long most)
        {
            if (value < least || value > most) throw new ModelSessionException($"{option} is {value}; its bounds are {least} and {most}.");
        }
    }

    /// <summary>Blocks of the cache, and the most tokens of a sequence that they allow.</summary>
    private static (int BlockCount, int ContextLength) Size(ModelDescription model, OnnxExecutorOptions options)
    {
        if (options.ContextLength > model.ContextLength)
            throw new ModelSessionException($"{nameof(options.ContextLength)} is {options.ContextLength}; the model's is {model.ContextLength}.");
        var context = options.ContextLength == 0 ? model.ContextLength : options.ContextLength;
        var blockBytes = KvCacheMemory.BlockBytes(model);
        long count = options.KvBlockCount;
        if (count == 0)
        {
            var memory = options.KvMemoryBytes == 0 ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 : options.KvMemoryBytes;
            count = Math.Min((long)Blocks(context) * options.MaxSequencesPerStep, memory / blockBytes);
            if (count < 1) throw new ModelSessionException($"{nameof(options.KvMemoryBytes)} is {memory}; one block takes {blockBytes}.");
        }

        // Elements of one layer's keys are addressed with 64 bits, block ids with 31.
        count = Math.Min(count, int.MaxValue);
        return ((int)count, (int)Math.Min(context, count * KvCacheMemory.BlockTokens));
    }

    private static void CheckGraph(InferenceSession session, ModelDescription model)
    {
        var inputs = session.InputMetadata;
        foreach (var name in (string[])
        [
            GraphContract.TokenIds, GraphContract.CumulativeSequenceLength, GraphContract.PastSequenceLengths, GraphContract.BlockTable, GraphContract.HiddenRows,
            GraphContract.LogitRows,
        ])
        {
            if (!inputs.TryGetValue(name, out var metadata) || metadata.ElementDataType != TensorElementType.Int32)
                throw new ModelSessionException($"The graph has no int32 input {name}.");
        }

        for (var layer = 0; layer < model.LayerCount; layer++)
        {
            if (!inputs.ContainsKey(GraphContract.KeyCache(layer)) || !session.OutputMetadata.ContainsKey(GraphContract.ValueCacheOut(layer)))
                throw new ModelSessionException($"The graph has no KV cache for layer {layer} of {model.LayerCount}.");
        }

        foreach (var name in (string[])[GraphContract.Hidden, GraphContract.Logits])
        {
            if (!session.OutputMetadata.ContainsKey(name)) throw new ModelSessionException($"The graph has no output {name}.");
        }
    }
}
