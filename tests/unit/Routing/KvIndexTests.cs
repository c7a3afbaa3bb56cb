using Granary.GrainInterfaces.Replicas;
using Granary.Routing;
using Granary.Routing.Kv;

namespace Granary.Tests.Unit.Routing;

public sealed class KvIndexTests
{
    private readonly KvIndex _index = new();
    private readonly Dictionary<long, KvEvents> _pages = [];

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 30)];

    [Fact]
    public void Match_CountsLeadingBlocksWithoutAGap()
    {
        var (a, b, c) = (_index.Add(), _index.Add(), _index.Add());
        _index.Apply(a, Stored([1, 2, 3]));
        _index.Apply(b, Stored([1, 3]));
        _index.Apply(c, Stored([2, 3]));

        var overlaps = Match(1, 2, 3, 4);
        Assert.Equal(new(3, 0, 0, 0), overlaps[a]);
        Assert.Equal(new(1, 0, 0, 0), overlaps[b]);
        Assert.Equal(default, overlaps[c]);
    }

    [Fact]
    public void Match_CountsEachBlockWhereItIsReachedSoonest()
    {
        var a = _index.Add();
        _index.Apply(a, Stored([1, 2]));
        _index.Apply(a, Stored([2, 3], KvTier.Host));
        _index.Apply(a, Stored([4], KvTier.Disk));
        _index.Expect(a, [5]);

        Assert.Equal(new PrefixOverlap(2, 1, 1, 1), Match(1, 2, 3, 4, 5, 6)[a]);
    }

    [Fact]
    public void Store_WhatWasExpected_IsExpectedNoLonger()
    {
        var (a, b) = (_index.Add(), _index.Add());
        _index.Expect(a, [1, 2, 3]);
        _index.Expect(b, [1]);
        Assert.Equal(new PrefixOverlap(0, 0, 0, 3), Match(1, 2, 3, 4)[a]);
        Assert.Equal(new PrefixOverlap(0, 0, 0, 1), Match(1, 2, 3, 4)[b]);
        Assert.Equal(default, Match(9, 2)[a]);
        _index.Apply(a, Stored([1]));
        Assert.Equal(new PrefixOverlap(1, 0, 0, 1), Match(1, 2)[a]);
        _index.Forget(a, [1, 2, 3]);
        Assert.Equal(new PrefixOverlap(1, 0, 0, 0), Match(1, 2)[a]);
    }

    [Fact]
    public void Remove_LifeEnded_LeavesNothingToFind_AndGivesItsMemoryBack()
    {
        var (a, b) = (_index.Add(), _index.Add());
        ulong[] blocks = [.. Enumerable.Range(0, 10_000).Select(i => (ulong)i)];
        _index.Apply(a, Stored(blocks));
        _index.Apply(b, Stored([1, 2]));
        _index.Remove(a);
        var c = _index.Add();

        Assert.Equal(a, c); // The number is used again, by a life that has nothing.
        Assert.Equal(default, Match(blocks)[c]);
        Assert.Equal(2, Match(1, 2)[b].Device);
        for (var i = 0; i < 1024; i++) _index.Apply(b, Stored([1]));
        Assert.Equal(2, _index.Blocks);
    }

    [Fact]
    public void Apply_UnknownNumber_Throws()
    {
        var a = _index.Add();
        _index.Remove(a);
        Assert.Throws<ArgumentOutOfRangeException>(() => _index.Apply(a, Stored([1])));
    }

    /// <summary>Whatever is stored, removed and ended, in whatever order, the overlaps are those of plain sets.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyOrder_MatchesPlainSets(int seed)
    {
        var random = new Random(seed);
        var most = random.Next(1, 100);
        var names = random.Next(10, 5_000);
        var replicas = new Dictionary<int, HashSet<ulong>[]>();
        for (var step = 0; step < 600; step++)
        {
            if (replicas.Count == 0 || (replicas.Count < most && random.Next(4) == 0))
                replicas.Add(_index.Add(), [[], [], []]);
            var (number, sets) = replicas.ElementAt(random.Next(replicas.Count));
            ulong[] blocks = [.. Enumerable.Range(random.Next(names), random.Next(1, 200)).Select(name => (ulong)name)];
            var tier = random.Next(4) == 0 ? random.Next(1, 3) : 0;
            switch (random.Next(6))
            {
                case 0:
                    _index.Apply(number, new() { First = 0, Next = blocks.Length, Runs = [new(false, (KvTier)tier, blocks.Length)], Blocks = blocks });
                    sets[tier].ExceptWith(blocks);
                    break;
                case 1 when random.Next(4) == 0:
                    _index.Remove(number);
                    replicas.Remove(number);
                    break;
                case 2 when random.Next(4) == 0:
                    _index.Apply(number, Stored(blocks) with { IsSnapshot = true });
                    replicas[number] = [[.. blocks], [], []];
                    break;
                default:
                    _index.Apply(number, Stored(blocks, (KvTier)tier));
                    sets[tier].UnionWith(blocks);
                    break;
            }

            if (step % 10 > 0) continue;
            ulong[] prompt = [.. Enumerable.Range(random.Next(names), 100).Select(name => (ulong)name)];
            var overlaps = Match(prompt);
            foreach (var (each, has) in replicas)
            {
                var counts = new int[3];
                foreach (var block in prompt)
                {
                    var fastest = Array.FindIndex(has, set => set.Contains(block));
                    if (fastest < 0) break;
                    counts[fastest]++;
                }

                Assert.Equal(new PrefixOverlap(counts[0], counts[1], counts[2], 0), overlaps[each]);
            }
        }
    }

    /// <summary>Batches come lost, doubled and out of order; with a snapshot after a gap, what is known becomes the truth.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void ReplicaEvents_AnyDelivery_ConvergesToTheTruth(int seed)
    {
        var random = new Random(seed);
        var events = new ReplicaEvents(_index);
        var truth = new HashSet<ulong>();
        var log = new List<(bool IsStored, ulong Block)>();
        var late = new List<KvEvents>();
        for (var step = 0; step < 400; step++)
        {
            for (var i = random.Next(20); i > 0; i--)
            {
                var block = (ulong)random.Next(50);
                var stored = !truth.Contains(block);
                if (stored) truth.Add(block);
                else truth.Remove(block);
                log.Add((stored, block));
            }

            var batch = Answer(events.Wanted, truth, log, kept: random.Next(10) == 0 ? 5 : 1_000);
            switch (random.Next(6))
            {
                case 0:
                    continue; // Lost.
                case 1:
                    late.Add(batch);
                    continue;
                case 2 when batch.First > 0: // As if it began later.
                    batch = Answer(Math.Min(batch.First + 3, log.Count + 1), truth, log, 1_000_000);
                    break;
                case 3 when late.Count > 0:
                    events.Take(late[random.Next(late.Count)]);
                    break;
            }

            events.Take(batch);
            if (random.Next(3) == 0) events.Take(batch);
        }

        for (var i = 0; i < 3; i++) events.Take(Answer(events.Wanted, truth, log, 1_000_000)); // After a gap a snapshot of two pages, and what has come since.
        Assert.False(events.IsBehind);
        Assert.Equal(log.Count + 1, events.Wanted);
        for (var block = 0UL; block < 50; block++) Assert.Equal(truth.Contains(block) ? 1 : 0, Match(block)[events.Replica].Blocks);
    }

    /// <summary>As an engine answers: events from 1 on, a snapshot for 0 and for what lies too far back, in pages where it is large.</summary>
    private KvEvents Answer(long from, HashSet<ulong> truth, List<(bool IsStored, ulong Block)> log, int kept)
    {
        if (_pages.TryGetValue(from, out var page)) return page;
        if (from > 0 && log.Count + 1 - from <= kept)
        {
            var asked = log[(int)(from - 1)..];
            return new() { First = from, Next = log.Count + 1, Runs = [.. asked.Select(e => new KvRun(e.IsStored, KvTier.Device, 1))], Blocks = [.. asked.Select(e => e.Block)] };
        }

        var whole = Stored([.. truth]) with { IsSnapshot = true, Next = log.Count + 1 };
        if (truth.Count < 20) return whole;
        var name = -1L - _pages.Count;
        _pages.Add(name, Stored([.. truth.Skip(20)]) with { First = name, Next = whole.Next });
        return Stored([.. truth.Take(20)]) with { IsSnapshot = true, Next = name };
    }

    private static KvEvents Stored(ulong[] blocks, KvTier tier = KvTier.Device) =>
        new() { First = 0, Next = blocks.Length, Runs = [new(true, tier, blocks.Length)], Blocks = blocks };

    private PrefixOverlap[] Match(params ulong[] blocks)
    {
        var overlaps = new PrefixOverlap[_index.NumberBound];
        _index.Match(blocks, overlaps);
        return overlaps;
    }
}
