using System.Collections.Concurrent;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;

namespace Granary.Tests.Support;

/// <summary>All shards of a replica in one process, each on a thread of its own; as many steps under way as there are stages.</summary>
public sealed class LocalShards : IStepExecutor
{
    private readonly Shard[,] _shards;
    private readonly RankGroup[] _groups;
    private readonly Queue<ShardedStep> _begun = new();
    private readonly LocalStepOutput _output;

    /// <param name="open">Opens the shard at a place with the reducer of its rank.</param>
    public LocalShards(int stages, int ranks, Func<ShardPlace, IRankReducer, IShardExecutor> open)
    {
        _groups = [.. Enumerable.Range(0, stages).Select(_ => new RankGroup(ranks))];
        _shards = new Shard[stages, ranks];
        for (var stage = 0; stage < stages; stage++)
        {
            for (var rank = 0; rank < ranks; rank++) _shards[stage, rank] = new(open(new(stage, rank), _groups[stage].Reducers[rank]), rank, Lose);
        }

        for (var stage = 0; stage < stages; stage++)
        {
            for (var rank = 0; rank < ranks; rank++) _shards[stage, rank].Start(stage + 1 < stages ? _shards[stage + 1, rank] : null);
        }

        Shape = _shards[0, 0].Executor.Shape.Whole with { StepsInFlight = stages };
        _output = new(Shape.HiddenSize, Shape.VocabularySize);
    }

    public ExecutorShape Shape { get; }

    /// <summary>Sums over the ranks of a stage so far.</summary>
    public long Sums(int stage) => _groups[stage].Sums;

    public void Begin(StepPlan plan)
    {
        var step = new ShardedStep(_groups[0].Reducers.Count);
        plan.CopyTo(step.Plan);
        _begun.Enqueue(step);
        for (var rank = 0; rank < step.Ranks; rank++) _shards[0, rank].Enqueue(step);
    }

    public StepOutput End()
    {
        var step = _begun.Dequeue();
        step.Wait();
        _output.Reserve(step.Plan);
        step.Hidden[0].CopyTo(_output.Hidden);
        foreach (var hidden in step.Hidden)
        {
            if (!hidden.AsSpan().SequenceEqual(step.Hidden[0])) throw new StepFailedException($"Step {step.Plan.Step}: the ranks' hidden states differ.");
        }

        for (var rank = 0; rank < step.Ranks; rank++)
        {
            var columns = _shards[_shards.GetLength(0) - 1, rank].Executor.Shape.Slice.Vocabulary;
            for (var row = 0; row < step.Plan.LogitCount; row++)
                step.Logits[rank].AsSpan(row * columns.Count, columns.Count).CopyTo(_output.Logits(row).Slice(columns.First, columns.Count));
        }

        return _output;
    }

    public void Dispose()
    {
        foreach (var shard in _shards) shard.Dispose();
    }

    /// <summary>A shard's failure ends the replica: no rank of any stage waits for another any more.</summary>
    private void Lose(Exception cause)
    {
        foreach (var group in _groups) group.Lose(cause);
    }

    /// <summary>A step on its way through the stages.</summary>
    private sealed class ShardedStep(int ranks)
    {
        private readonly object _gate = new();
        private int _left = ranks;
        private StepFailedException? _failure;

        public StepPlan Plan { get; } = new();

        public int Ranks { get; } = ranks;

        /// <summary>[ranks], each [tokens, hidden]: what the stage before gave.</summary>
        public float[][] Residual { get; } = new float[ranks][];

        public float[][] Hidden { get; } = new float[ranks][];

        public float[][] Logits { get; } = new float[ranks][];

        /// <summary>A rank has done all stages, or one of its shards failed.</summary>
        public void Complete(StepFailedException? failure = null)
        {
            lock (_gate)
            {
                _failure ??= failure;
                _left--;
                Monitor.PulseAll(_gate);
            }
        }

        public void Wait()
        {
            lock (_gate)
            {
                while (_left > 0) Monitor.Wait(_gate);
                if (_failure is not null) throw _failure;
            }
        }
    }

    private sealed class Shard(IShardExecutor executor, int rank, Action<Exception> lose) : IDisposable
    {
        private readonly BlockingCollection<ShardedStep> _steps = [];
        private Thread? _thread;
        private StepFailedException? _lost;

        public IShardExecutor Executor => executor;

        public void Start(Shard? next)
        {
            _thread = new Thread(() => Run(next)) { IsBackground = true, Name = $"shard {executor.Shape.Slice.Place}" };
            _thread.Start();
        }

        public void Enqueue(ShardedStep step) => _steps.Add(step);

        public void Dispose()
        {
            _steps.CompleteAdding();
            _thread?.Join();
            executor.Dispose();
            _steps.Dispose();
        }

        private void Run(Shard? next)
        {
            foreach (var step in _steps.GetConsumingEnumerable())
            {
                if (_lost is null && TryExecute(step, last: next is null)) Pass(step, next);
                else step.Complete(_lost);
            }
        }

        private static void Pass(ShardedStep step, Shard? next)
        {
            if (next is null) step.Complete();
            else next.Enqueue(step);
        }

        private bool TryExecute(ShardedStep step, bool last)
        {
            try
            {
                if (!executor.Shape.Slice.IsFirstStage) step.Residual[rank].CopyTo(executor.Input(step.Plan.TokenCount));
                executor.Execute(step.Plan);
                if (!last) step.Residual[rank] = executor.Output.ToArray();
                else (step.Hidden[rank], step.Logits[rank]) = (executor.Hidden.ToArray(), executor.Logits.ToArray());
                return true;
            }
            catch (StepFailedException failure)
            {
                _lost = failure;
                lose(failure);
                return false;
            }
        }
    }
}
