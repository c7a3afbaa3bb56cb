using Granary.Engine.Execution;
using Granary.Engine.Onnx.Graph;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Native;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Runs one shard's part of steps; a model that is not cut is one shard.</summary>
/// <remarks>
/// A row's result is the same bits whatever else is in its step, however its prompt was cut into chunks, and whichever blocks it
/// was given: every operator works row by row, attention in an order of its own, sums over ranks in the order of ranks.
/// Inputs and outputs lie in native memory that stays where it is, so that a peer's bytes can be received into and sent from it.
/// </remarks>
public sealed class OnnxShardExecutor : IShardExecutor
{
    private readonly InferenceSession _session;
    private readonly SessionOperators _operators;
    private readonly IKvCache _cache;
    private readonly StepBinding _binding;
    private readonly StepPlanCheck _check;
    private readonly RunOptions _runOptions = new();
    private long _step;
    private (int Tokens, int Hidden, int Logits) _rows;
    private bool _disposed;

    private OnnxShardExecutor(InferenceSession session, SessionOperators operators, ModelDescription model, ShardShape shape, IKvCache cache, bool isPrepacked)
    {
        (_session, _operators, _cache, Model, Shape, IsPrepacked) = (session, operators, cache, model, shape, isPrepacked);
        var tableWidth = ExecutorSizes.Blocks(shape.Whole.ContextLength, shape.Whole.KvBlockTokens);
        _binding = new StepBinding(session, shape, _cache, tableWidth, isOnDevice: model.Target != ModelTarget.Cpu);
        _check = new StepPlanCheck(shape.Whole, shape.MaxTokensPerStep, shape.MaxSequencesPerStep, tableWidth);
    }

    /// <inheritdoc/>
    public ShardShape Shape { get; }

    public ModelDescription Model { get; }

    /// <summary>Whether the weights are mapped from the prepacked form; false where the folder could not be written and they were packed in memory.</summary>
    public bool IsPrepacked { get; }

    /// <summary>The shard's KV cache, where it lies in memory that the CPU reads.</summary>
    internal IKvBlockStore? BlockStore => _cache as IKvBlockStore;

    /// <inheritdoc/>
    public ReadOnlySpan<float> Output => _binding.HiddenOut(_rows.Tokens);

    /// <inheritdoc/>
    public ReadOnlySpan<float> Hidden => WritableHidden;

    /// <inheritdoc/>
    public ReadOnlySpan<float> Logits => WritableLogits;

    internal Span<float> WritableHidden => _binding.Hidden(_rows.Hidden);

    internal Span<float> WritableLogits => _binding.Logits(_rows.Logits);

    /// <summary>Opens an imported folder; the first time on a machine its weights are laid out for the CPU and kept.</summary>
    /// <param name="options">Sizes of the whole replica's KV cache and steps; the same for all of its shards, the number of blocks given.</param>
    /// <param name="reducer">Adds up the ranks' partial sums; needed where the folder holds one of several ranks.</param>
    /// <exception cref="ModelImportException">The folder is not an imported model.</exception>
    /// <exception cref="ModelSessionException">The runtime refuses the graph, a size asked for is out of bounds, or the reducer is missing.</exception>
    public static OnnxShardExecutor Open(string modelDirectory, OnnxExecutorOptions options, IRankReducer? reducer = null)
    {
        var model = ModelDescription.Load(modelDirectory);
        var part = model.Part;
        if (part.Ranks > 1 && reducer is null) throw new ModelSessionException($"{modelDirectory}: holds rank {part.Place.Rank} of {part.Ranks}, which needs the others' sums.");
        ExecutionProviders.Check(options.Provider, model.Target);
        var shape = ExecutorSizes.Of(model, options);
        SessionOperators? operators = null;
        InferenceSession? session = null;
        try
        {
            // Packed weights are the CPU's.
            var prepacked = options.Provider == ExecutionProviders.Cpu ? PrepackedModel.Ensure(modelDirectory, model) : null;
            operators = new SessionOperators(reducer);
            using var sessionOptions = OnnxRuntimeEnvironment.CreateSessionOptions(options.IntraOpThreads, operators);
            ExecutionProviders.Append(sessionOptions, options.Provider, options.DeviceId);
            // The prepacked graph is optimized already.
            if (prepacked is not null) sessionOptions.GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL;
            session = new InferenceSession(prepacked ?? Path.Combine(modelDirectory, ModelDescription.GraphFileName), sessionOptions);
            CheckGraph(session, model);
            return new OnnxShardExecutor(session, operators, model, shape, Cache(session, model, shape, options), prepacked is not null);
        }
        catch (Exception exception)
        {
            session?.Dispose();
            operators?.Dispose();
            if (exception is OnnxRuntimeException or IOException or OutOfMemoryException) throw new ModelSessionException($"{modelDirectory}: {exception.Message}", exception);
            throw;
        }
    }

    /// <inheritdoc/>
    public Span<float> Input(int tokens)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _binding.HiddenIn(tokens);
    }

    /// <inheritdoc/>
    public void Execute(StepPlan plan)
    {
        Load(plan);
        Run();
    }

    /// <summary>Takes a step's plan, which is the caller's again on return.</summary>
    /// <exception cref="StepFailedException">A field of it is out of bounds, or an earlier step failed.</exception>
    internal void Load(StepPlan plan)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_operators.Failure is { } earlier) throw Failed(plan.Step, earlier); // The ranks are no longer in step.
        _check.Check(plan);
        (_step, _rows) = (plan.Step, (plan.TokenCount, plan.HiddenCount, plan.LogitCount));
        try
        {
            _binding.Load(plan);
        }
        catch (OnnxRuntimeException exception)
        {
            throw Failed(_step, exception);
        }
    }

    /// <summary>Computes the step taken last.</summary>
    /// <exception cref="StepFailedException">The device or a rank beside it failed.</exception>
    internal void Run()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        try
        {
            _binding.Run(_session, _runOptions);
        }
        catch (OnnxRuntimeException exception)
        {
            throw Failed(_step, _operators.Failure ?? exception);
        }
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _binding.Dispose();
        _cache.Dispose(); // A device's memory goes back to the session's allocator.
        _session.Dispose();
        _operators.Dispose();
        _runOptions.Dispose();
    }

    private static IKvCache Cache(InferenceSession session, ModelDescription model, ShardShape shape, OnnxExecutorOptions options)
    {
        if (model.Target == ModelTarget.Cpu) return new KvCacheMemory(model, shape.Whole);
        using var device = new OrtMemoryInfo("Cuda", OrtAllocatorType.DeviceAllocator, options.DeviceId, OrtMemType.Default);
        return new DeviceKvCache(session, device, model, shape.Whole, model.Target == ModelTarget.CudaFloat16 ? TensorElementType.Float16 : TensorElementType.BFloat16);
    }

    private static StepFailedException Failed(long step, Exception cause) => new($"Step {step} failed: {cause.Message}", cause);

    private static void CheckGraph(InferenceSession session, ModelDescription model)
    {
        var part = model.Part;
        Input(part.IsFirstStage ? GraphContract.TokenIds : GraphContract.HiddenIn, part.IsFirstStage ? TensorElementType.Int32 : TensorElementType.Float);
        foreach (var name in (string[])[GraphContract.CumulativeSequenceLength, GraphContract.PastSequenceLengths, GraphContract.BlockTable]) Input(name, TensorElementType.Int32);
        for (var layer = part.Layers.First; layer < part.Layers.End; layer++)
        {
            if (!session.InputMetadata.ContainsKey(GraphContract.KeyCache(layer)) || !session.OutputMetadata.ContainsKey(GraphContract.ValueCacheOut(layer)))
                throw new ModelSessionException($"The graph has no KV cache for layer {layer} of {model.LayerCount}.");
        }

        if (part.IsLastStage) foreach (var name in (string[])[GraphContract.HiddenRows, GraphContract.LogitRows]) Input(name, TensorElementType.Int32);
        foreach (var name in part.IsLastStage ? (string[])[GraphContract.Hidden, GraphContract.Logits] : [GraphContract.HiddenOut])
        {
            if (!session.OutputMetadata.ContainsKey(name)) throw new ModelSessionException($"The graph has no output {name}.");
        }

        void Input(string name, TensorElementType type)
        {
            if (!session.InputMetadata.TryGetValue(name, out var metadata) || metadata.ElementDataType != type)
                throw new ModelSessionException($"The graph has no {type} input {name}.");
        }
    }
}
