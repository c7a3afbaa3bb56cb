using Granary.Client;
using Granary.Engine;
using Granary.GrainInterfaces;

namespace Granary.Tests.Chaos;

/// <summary>Many callers at once, each with its own gateway, and what they should get.</summary>
internal sealed class LoadRun
{
    private readonly ChaosCluster _cluster;
    private readonly Task<GeneratedToken[][]> _right;

    private LoadRun(ChaosCluster cluster, List<StreamRecord> records, Task<GeneratedToken[][]> right) => (_cluster, Records, _right) = (cluster, records, right);

    public IReadOnlyList<StreamRecord> Records { get; }

    /// <summary>Completes when every caller has its answer or its error. Does not fail.</summary>
    public Task Completed { get; private set; } = Task.CompletedTask;

    /// <param name="gateways">Numbers of silos whose gateways are asked; -1 is the client outside. All by default.</param>
    /// <param name="spread">Callers come over so much time.</param>
    public static async Task<LoadRun> StartAsync(
        ChaosCluster cluster, Random random, int sequences, IReadOnlyList<int>? gateways = null, TimeSpan? spread = null, IReadOnlyList<GenerateRequest>? requests = null)
    {
        requests ??= RequestMix.Draw(random, sequences);
        gateways ??= [-1, .. Enumerable.Range(0, cluster.Silos.Count)];
        // Before anybody asks: the answers are computed in no virtual time.
        var right = cluster.Unfailed.AnswersAsync(requests);
        await right;
        var (records, reads) = (new List<StreamRecord>(), new List<Task>());
        var byGroup = new Dictionary<string, (int Gateway, TimeSpan Begins)>();
        foreach (var request in requests)
        {
            // The choices of one request are one caller's.
            if (request.Group is not { } group || !byGroup.TryGetValue(group, out var start))
                start = (gateways[random.Next(gateways.Count)], (spread ?? TimeSpan.FromMilliseconds(300)) * random.NextDouble());
            if (request.Group is { } name) byGroup[name] = start;
            var client = start.Gateway < 0 ? cluster.Outside : cluster.Silos[start.Gateway].Generation;
            var record = new StreamRecord(request, start.Gateway < 0 ? "outside" : cluster.Silos[start.Gateway].Name);
            records.Add(record);
            reads.Add(ReadAsync(record, client, start.Begins));
        }

        return new(cluster, records, right) { Completed = Task.WhenAll(reads) };

        async Task ReadAsync(StreamRecord record, IGenerationClient client, TimeSpan begins)
        {
            await cluster.DelayAsync(begins);
            await record.ReadAsync(client, cluster.Time);
        }
    }

    /// <summary>Waits for all answers, requires them to be exact, and that a healed cluster has nothing left of them.</summary>
    public async Task FinishAsync()
    {
        await Completed;
        RequireExact();
        await _cluster.HealAsync();
        await Leaks.RequireNoneAsync(_cluster);
    }

    /// <summary>Fails where an answer is not to the bit what an engine alone gives.</summary>
    /// <param name="except">Answers that are judged otherwise.</param>
    public void RequireExact(Predicate<StreamRecord>? except = null) => Exactness.Require(Records, _right.Result, except ?? (_ => false));
}
