using Granary.Engine.Execution;
using Granary.Engine.Onnx.Import;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Works out the sizes of an executor from its options and its model, and refuses those that do not fit.</summary>
internal static class ExecutorSizes
{
    private const int MaxBlockTokens = 4096;

    /// <summary>Blocks that hold so many tokens.</summary>
    public static int Blocks(int tokens, int blockTokens) => (tokens + blockTokens - 1) / blockTokens;

    /// <exception cref="ModelSessionException">Names the option, its value and its bounds.</exception>
    public static ShardShape Of(ModelDescription model, OnnxExecutorOptions options)
    {
        Check(options);
        if (options.KvBlockCount == 0 && !model.Part.IsWhole)
            throw new ModelSessionException($"{nameof(options.KvBlockCount)} is 0; shards of a replica have as many blocks as one another, and need the number.");
        var blockTokens = BlockTokens(model, options);
        var (blockCount, contextLength) = Size(model, options, blockTokens);
        var logitRows = options.MaxLogitRowsPerStep == 0 ? 2 * options.MaxSequencesPerStep : options.MaxLogitRowsPerStep;
        var whole = new ExecutorShape(model.VocabularySize, model.HiddenSize, contextLength, blockCount, blockTokens, logitRows);
        return new ShardShape(model.Part, whole, options.MaxTokensPerStep, options.MaxSequencesPerStep);
    }

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

    private static int BlockTokens(ModelDescription model, OnnxExecutorOptions options)
    {
        var isCuda = model.Target != ModelTarget.Cpu;
        var tokens = options.KvBlockTokens != 0 ? options.KvBlockTokens : OnnxExecutorOptions.DefaultKvBlockTokens(model.Target);
        if (tokens is < AttentionStep.TileTokens or > MaxBlockTokens || tokens % AttentionStep.TileTokens != 0 || (isCuda && !int.IsPow2(tokens)))
        {
            throw new ModelSessionException(
                $"{nameof(options.KvBlockTokens)} is {tokens}; it is a multiple of {AttentionStep.TileTokens} up to {MaxBlockTokens}, and for CUDA a power of two.");
        }

        return tokens;
    }

    /// <summary>Bytes that one block takes in all layers of the shard.</summary>
    private static long BlockBytes(ModelDescription model, int blockTokens) =>
        2L * model.Part.Layers.Count * blockTokens * model.Part.KvHeads.Count * model.HeadSize * (model.Target == ModelTarget.Cpu ? sizeof(float) : sizeof(ushort));

    /// <summary>Blocks of the cache, and the most tokens of a sequence that they allow.</summary>
    private static (int BlockCount, int ContextLength) Size(ModelDescription model, OnnxExecutorOptions options, int blockTokens)
    {
        if (options.ContextLength > model.ContextLength)
            throw new ModelSessionException($"{nameof(options.ContextLength)} is {options.ContextLength}; the model's is {model.ContextLength}.");
        var context = options.ContextLength == 0 ? model.ContextLength : options.ContextLength;
        var blockBytes = BlockBytes(model, blockTokens);
        long count = options.KvBlockCount;
        if (count == 0)
        {
            var memory = options.KvMemoryBytes == 0 ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 : options.KvMemoryBytes;
            count = Math.Min((long)Blocks(context, blockTokens) * options.MaxSequencesPerStep, memory / blockBytes);
            if (count < 1) throw new ModelSessionException($"{nameof(options.KvMemoryBytes)} is {memory}; one block takes {blockBytes}.");
        }

        // Elements of one layer's keys are addressed with 64 bits, block ids with 31.
        count = Math.Min(count, int.MaxValue);
        return ((int)count, (int)Math.Min(context, count * blockTokens));
    }
}
