namespace Granary.Engine.Partitioning;

/// <summary>Cuts a model into shards: every layer is in one stage, every query head, feed-forward column and vocabulary row in one rank of each.</summary>
/// <remarks>Uneven cuts give the first ranks more, so that whoever places shards knows which is the largest.</remarks>
public static class Slicing
{
    /// <summary>Feed-forward columns are cut at multiples of it: a block of quantized weights is never divided.</summary>
    public const int IntermediateUnit = 32;

    /// <summary>Vocabulary rows are cut at multiples of it: sums over a row of logits go by blocks of this many columns.</summary>
    public const int VocabularyUnit = 1024;

    /// <summary>Most ranks of a stage: links grow with their square.</summary>
    public const int MaxRanks = 256;

    /// <summary>The slices of a replica.</summary>
    /// <param name="model">What is cut.</param>
    /// <param name="layersPerStage">[P]: layers of each stage, in order; at least one each, all of the model's together.</param>
    /// <param name="ranks">T.</param>
    /// <returns>[P × T], stage by stage, in each by rank.</returns>
    /// <exception cref="PartitionException">The layers are not the model's, or heads, columns or rows cannot be cut into so many ranks.</exception>
    public static ShardSlice[] Cut(ModelShape model, IReadOnlyList<int> layersPerStage, int ranks)
    {
        var stages = layersPerStage.Count;
        if (stages < 1 || stages > model.LayerCount) throw new PartitionException($"There are {stages} stages; a model of {model.LayerCount} layers has 1 to {model.LayerCount}.");
        if (layersPerStage.Min() is < 1 and var least) throw new PartitionException($"A stage has {least} layers; it must have at least 1.");
        if (layersPerStage.Sum(count => (long)count) is var sum && sum != model.LayerCount)
            throw new PartitionException($"The stages have {sum} layers; the model has {model.LayerCount}.");

        var cut = CutRanks(model, ranks);
        var slices = new ShardSlice[stages * ranks];
        for (int stage = 0, first = 0; stage < stages; first += layersPerStage[stage++])
        {
            for (var rank = 0; rank < ranks; rank++)
            {
                slices[(stage * ranks) + rank] = cut[rank] with
                {
                    Place = new ShardPlace(stage, rank),
                    Stages = stages,
                    Layers = new Slice(first, layersPerStage[stage]),
                };
            }
        }

        return slices;
    }

    /// <summary>The slices of a replica of one stage.</summary>
    /// <returns>[T], by rank.</returns>
    /// <exception cref="PartitionException">Heads, columns or rows cannot be cut into so many ranks.</exception>
    public static ShardSlice[] CutRanks(ModelShape model, int ranks)
    {
        if (ranks is < 1 or > MaxRanks) throw new PartitionException($"There are {ranks} ranks; there must be 1 to {MaxRanks}.");
        CheckSizes(model);
        var (heads, kvHeads) = CutHeads(model, ranks);
        var intermediate = CutUnits("feed-forward columns", model.IntermediateSize, IntermediateUnit, ranks);
        var vocabulary = CutUnits("vocabulary rows", model.VocabularySize, VocabularyUnit, ranks);
        return [.. Enumerable.Range(0, ranks).Select(rank => new ShardSlice
        {
            Place = new ShardPlace(0, rank),
            Stages = 1,
            Ranks = ranks,
            Layers = new Slice(0, model.LayerCount),
            Heads = heads[rank],
            KvHeads = kvHeads[rank],
            Intermediate = intermediate[rank],
            Vocabulary = vocabulary[rank],
        })];
    }

    /// <summary>Whether the model's heads, columns and rows can be cut into so many ranks.</summary>
    public static bool CanCut(ModelShape model, int ranks)
    {
        if (ranks is < 1 or > MaxRanks || model.IntermediateSize < ranks || model.VocabularySize < ranks) return false;
        if (model.KvHeadCount < 1 || model.HeadCount % model.KvHeadCount != 0) return false;
        return ranks <= model.KvHeadCount || (ranks % model.KvHeadCount == 0 && model.HeadCount % ranks == 0);
    }

    private static void CheckSizes(ModelShape model)
    {
        foreach (var (name, value) in (ReadOnlySpan<(string, int)>)
        [
            ("Layers", model.LayerCount), ("Hidden size", model.HiddenSize), ("Feed-forward columns", model.IntermediateSize), ("Query heads", model.HeadCount),
            ("KV heads", model.KvHeadCount), ("Head size", model.HeadSize), ("Vocabulary rows", model.VocabularySize), ("Context length", model.ContextLength),
        ])
        {
            if (value < 1) throw new PartitionException($"{name}: the model has {value}; it must have at least 1.");
        }

        if (model.WeightBits is not (32 or 16 or 8 or 4)) throw new PartitionException($"Weights have {model.WeightBits} bits; they must have 32, 16, 8 or 4.");
        if (model.HeadCount % model.KvHeadCount != 0)
            throw new PartitionException($"{model.HeadCount} query heads are no multiple of {model.KvHeadCount} KV heads.");
    }

    /// <summary>A rank's query heads are all those of its KV heads, or an equal part of those of the one KV head that it shares with other ranks.</summary>
    private static (Slice[] Heads, Slice[] KvHeads) CutHeads(ModelShape model, int ranks)
    {
        var group = model.HeadCount / model.KvHeadCount;
        if (ranks <= model.KvHeadCount)
        {
            var kvHeads = CutEvenly(model.KvHeadCount, ranks);
            return ([.. kvHeads.Select(slice => new Slice(slice.First * group, slice.Count * group))], kvHeads);
        }

        var sharing = ranks / model.KvHeadCount;
        if (ranks % model.KvHeadCount != 0 || group % sharing != 0)
        {
            throw new PartitionException(
                $"{model.HeadCount} query heads over {model.KvHeadCount} KV heads cannot be cut into {ranks} ranks: more ranks than KV heads must be a multiple of {model.KvHeadCount} that divides {model.HeadCount}.");
        }

        var each = group / sharing;
        return ([.. Enumerable.Range(0, ranks).Select(rank => new Slice(rank * each, each))], [.. Enumerable.Range(0, ranks).Select(rank => new Slice(rank / sharing, 1))]);
    }

    /// <summary>Cut at multiples of the unit where there is one for each rank, else anywhere.</summary>
    private static Slice[] CutUnits(string what, int count, int unit, int ranks)
    {
        if (count < ranks) throw new PartitionException($"{count} {what} cannot be cut into {ranks} ranks.");
        var units = (int)(((long)count + unit - 1) / unit);
        if (units < ranks) return CutEvenly(count, ranks);
        return [.. CutEvenly(units, ranks).Select(slice => new Slice(slice.First * unit, Math.Min(count, slice.End * unit) - (slice.First * unit)))];
    }

    private static Slice[] CutEvenly(int count, int parts)
    {
        var (each, more) = Math.DivRem(count, parts);
        return [.. Enumerable.Range(0, parts).Select(part => new Slice((part * each) + Math.Min(part, more), part < more ? each + 1 : each))];
    }
}
