namespace Granary.Engine.Partitioning;

/// <summary>Decides how a replica is cut and on which workers its shards go.</summary>
/// <remarks>
/// Pure, and the same for the same input. What it promises: a plan fits, in memory and cores, on every worker; layers are
/// given to stages so that the slowest is as fast as it can be on the workers chosen; the ranks of a stage share a host where
/// that is not slower, and stages that follow each other are near. Shards are spread, one a worker, as long as that fits. The
/// leader, stage 0 and rank 0, is the strongest worker of its stage: it has the largest slice, and the engine.
/// <para>Left free (0), stages and ranks become the fewest shards that fit; more ranks are taken only within hosts and
/// where they are equally large and a step is predicted to become a fifth faster by them.</para>
/// </remarks>
public static class PartitionPlanner
{
    /// <summary>Tokens of a KV block where a request does not say: the CPU's. Caches are whole blocks.</summary>
    public const int KvBlockTokens = 16;

    private const double WorthMoreShards = 0.8;

    // Beyond these sizes the rules decide alone; a search would not end in time.
    private const int SearchedWorkers = 8, SearchedShards = 8, SearchedNodes = 50_000;

    // Shards of one worker are tried one by one up to here, then twice as many at a time.
    private const int SmallSteps = 8;

    // Zones, and hosts, that are tried on their own.
    private const int TriedPlaces = 16;

    /// <summary>Plans one replica.</summary>
    /// <param name="model">What is cut. Its context length is that of the replica.</param>
    /// <param name="workers">What there is; hundreds are fine.</param>
    /// <param name="request">How it is to be cut.</param>
    public static PlanningResult Plan(ModelShape model, IReadOnlyList<WorkerInventory> workers, PartitionRequest request)
    {
        try
        {
            Check(model, request);
            var sites = new Sites(workers, request.ThreadsPerShard);
            return new Planning(model, sites, request).Run();
        }
        catch (PartitionException exception)
        {
            return new PlanningResult(null, exception.Message);
        }
    }

    /// <exception cref="PartitionException">A number is out of its bounds.</exception>
    private static void Check(ModelShape model, PartitionRequest request)
    {
        Bound(nameof(request.Stages), request.Stages, 0, model.LayerCount);
        Bound(nameof(request.Ranks), request.Ranks, 0, Slicing.MaxRanks);
        Bound(nameof(request.ThreadsPerShard), request.ThreadsPerShard, 1, 1024);
        Bound(nameof(request.KvBlockTokens), request.KvBlockTokens, 1, 4096);
        Bound(nameof(request.KvTokens), request.KvTokens, 0, int.MaxValue - request.KvBlockTokens);
        Bound(nameof(request.MaxTokensPerStep), request.MaxTokensPerStep, 1, 65_536);
        Bound(nameof(request.MaxLogitRows), request.MaxLogitRows, 1, 65_536);
        Bound(nameof(request.MaxSequences), request.MaxSequences, 1, 4096);
        if (request.KvShare is not (> 0 and <= 1)) throw new PartitionException($"{nameof(request.KvShare)} is {request.KvShare}; it must be above 0 and at most 1.");
        // Refused with their numbers here, where nothing else has been tried.
        Slicing.CutRanks(model, Math.Max(1, request.Ranks));

        static void Bound(string name, long value, long least, long most)
        {
            if (value < least || value > most) throw new PartitionException($"{name} is {value}; it must be from {least} to {most}.");
        }
    }

    private sealed class Planning(ModelShape model, Sites sites, PartitionRequest request)
    {
        private readonly long _leastKvTokens = InBlocks(request.KvTokens > 0 ? request.KvTokens : Math.Min(model.ContextLength, request.MaxTokensPerStep), request.KvBlockTokens);
        private readonly int[] _all = [.. Enumerable.Range(0, sites.All.Length).Where(worker => sites.Slots[worker] > 0)];
        private readonly Dictionary<int, Bounds> _bounds = [];
        private int _nodes = SearchedNodes;

        public PlanningResult Run()
        {
            var ranks = request.Ranks > 0 ? [request.Ranks] : Enumerable.Range(1, (int)Math.Clamp(sites.SlotCount, 1, Slicing.MaxRanks)).Where(count => Slicing.CanCut(model, count)).ToArray();
            var stages = request.Stages > 0 ? [request.Stages] : Enumerable.Range(1, model.LayerCount).ToArray();
            // Ranks that nobody asked for are equally large and within a host, unless nothing else fits.
            var equal = ranks.Where(count => model.KvHeadCount % count == 0 || count % model.KvHeadCount == 0).ToArray();
            foreach (var (within, possible) in request.Ranks > 0 ? [(Distance.Far, ranks)] : ((Distance, int[])[])[(Distance.SameHost, equal), (Distance.Far, ranks)])
            {
                var cuts = from p in stages from t in possible let shards = p * t where shards <= sites.SlotCount orderby shards, p select (Stages: p, Ranks: t, Shards: shards);
                foreach (var same in cuts.GroupBy(cut => cut.Shards))
                {
                    Placement? best = null;
                    foreach (var cut in same)
                    {
                        if (Place(cut.Stages, cut.Ranks, within) is { } placement && (best is null || placement.Score < best.Score)) best = placement;
                    }

                    if (best is not null) return new PlanningResult(Finish(request.Ranks == 0 && within < Distance.Far ? WithMoreRanks(best, equal) : best), null);
                }
            }

            return new PlanningResult(null, PlanRefusal.Tell(Cut(stages[0], ranks[0]), Cut(stages[^1], ranks[^1]), request));
        }

        private Cut Cut(int stages, int ranks) => new(BoundsOf(ranks).Cut, stages);

        private Bounds BoundsOf(int ranks)
        {
            if (!_bounds.TryGetValue(ranks, out var bounds)) _bounds[ranks] = bounds = new Bounds(new Cut(model, sites, request, 1, ranks, _leastKvTokens));
            return bounds;
        }

        /// <summary>More ranks, and as few stages as they need, as long as each step up is worth it.</summary>
        private Placement WithMoreRanks(Placement best, int[] ranks)
        {
            var widest = _all.GroupBy(sites.Host).Max(host => host.Count());
            foreach (var more in ranks.Where(more => more > best.Cut.Ranks && more <= widest))
            {
                for (var stages = request.Stages > 0 ? best.Cut.Stages : 1; stages <= best.Cut.Stages && stages * more <= _all.Length; stages++)
                {
                    if (BoundsOf(more).Forbid(stages)) continue;
                    if (Spread(Cut(stages, more), perWorker: 1, Distance.SameHost) is not { } wider) continue;
                    if (wider.Score < WorthMoreShards * best.Score) best = wider;
                    break;
                }
            }

            return best;
        }

        private Placement? Place(int stages, int ranks, Distance within)
        {
            if (BoundsOf(ranks).Forbid(stages)) return null;
            var (cut, shards) = (Cut(stages, ranks), stages * ranks);
            var mostSlots = _all.Max(worker => sites.Slots[worker]);
            for (var perWorker = 1; ; perWorker = perWorker < SmallSteps ? perWorker + 1 : 2 * perWorker)
            {
                if (Spread(cut, perWorker, within) is { } placement) return placement;
                if (perWorker >= Math.Min(mostSlots, shards)) break;
            }

            // The search knows no distances.
            return (within == Distance.Far || ranks == 1) && _all.Length <= SearchedWorkers && shards <= SearchedShards && _nodes > 0 ? PlacementSearch.Find(cut, ref _nodes) : null;
        }

        /// <summary>The best of some ways of putting workers together; where one is enough for each shard, also in single zones and hosts.</summary>
        private Placement? Spread(Cut cut, int perWorker, Distance within)
        {
            Placement? best = null;
            Consider(_all);
            if (best is null || perWorker > 1) return best;
            foreach (var nearness in (Func<int, int>[])[sites.Zone, sites.Host])
            {
                var places = _all.GroupBy(nearness).Select(place => place.ToArray()).ToArray();
                if (places.Length == 1) continue;
                foreach (var place in places.Where(place => place.Length >= cut.Stages * cut.Ranks).Take(TriedPlaces)) Consider(place);
            }

            return best;

            void Consider(int[] workers)
            {
                foreach (var by in (ReadOnlySpan<StageGroups.By>)[StageGroups.By.Memory, StageGroups.By.Speed])
                {
                    ConsiderGroups(StageGroups.Near(cut, workers, perWorker, by));
                    if (cut.Ranks > 1) ConsiderGroups(StageGroups.Alike(cut, workers, perWorker, by));
                }
            }

            void ConsiderGroups(List<StageGroup> groups)
            {
                groups.RemoveAll(group => sites.Spread(group.Workers) > within);
                if (StageSelection.Choose(cut, groups) is { } chosen && Placement.Balance(cut, chosen) is { } placement
                    && (best is null || placement.Score < best.Score)) best = placement;
            }
        }

        private PartitionPlan Finish(Placement placement)
        {
            var cut = placement.Cut;
            var slices = Slicing.Cut(model, placement.Layers, cut.Ranks);
            var kvTokens = request.KvTokens > 0 ? _leastKvTokens : KvTokens(placement);
            return new PartitionPlan
            {
                Model = model,
                Stages = cut.Stages,
                Ranks = cut.Ranks,
                KvTokens = (int)kvTokens,
                StepSeconds = placement.StepSeconds,
                PeriodSeconds = placement.PeriodSeconds,
                Shards = [.. slices.Select(slice =>
                {
                    var (stage, rank) = (slice.Place.Stage, slice.Place.Rank);
                    var (cost, role) = (cut.Costs[rank], StageRole.Of(stage, cut.Stages));
                    return new ShardPlan(
                        slice, sites.All[placement.Workers[stage][rank]].Worker, cost.WeightBytes(slice.Layers.Count, role), cost.KvBytes(slice.Layers.Count, kvTokens),
                        cost.WorkspaceBytes(role), placement.StageSeconds[stage]);
                })],
            };
        }

        /// <summary>As many as the memory left on the fullest worker allows, and no more than all sequences at their longest need.</summary>
        private long KvTokens(Placement placement)
        {
            var cut = placement.Cut;
            var (left, perToken) = (sites.All.Select(worker => worker.FreeBytes).ToArray(), new long[sites.All.Length]);
            for (var stage = 0; stage < cut.Stages; stage++)
            {
                for (var rank = 0; rank < cut.Ranks; rank++)
                {
                    var worker = placement.Workers[stage][rank];
                    left[worker] -= cut.FixedBytes(rank, StageRole.Of(stage, cut.Stages)) + (placement.Layers[stage] * cut.Costs[rank].LayerWeightBytes);
                    perToken[worker] += cut.Costs[rank].KvBytes(placement.Layers[stage], 1);
                }
            }

            var block = request.KvBlockTokens;
            var most = Math.Min(request.MaxSequences * InBlocks(model.ContextLength, block), int.MaxValue / block * block);
            var fit = Enumerable.Range(0, left.Length).Where(worker => perToken[worker] > 0).Min(worker => (long)(request.KvShare * left[worker]) / perToken[worker]);
            return Math.Max(_leastKvTokens, Math.Min(most, fit / block * block));
        }

        /// <summary>Rounded up to whole blocks.</summary>
        private static long InBlocks(long tokens, int block) => (tokens + block - 1) / block * block;
    }
}
