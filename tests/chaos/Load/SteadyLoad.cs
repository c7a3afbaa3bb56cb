using System.Collections.Concurrent;
using Granary.Client;

namespace Granary.Tests.Chaos;

/// <summary>Callers that ask one request after the other until they are told to stop. Each answer is compared at once, and nothing of it is kept.</summary>
internal sealed class SteadyLoad
{
    private readonly ChaosCluster _cluster;
    private readonly ConcurrentQueue<string> _wrong = new();
    private readonly Task _callers;
    private volatile bool _stopping;
    private int _answers;

    /// <param name="client">Whom the n-th caller asks, at each request anew.</param>
    public SteadyLoad(ChaosCluster cluster, Random random, int callers, Func<int, IGenerationClient> client, int leastTokens = 16, int mostTokens = 96)
    {
        _cluster = cluster;
        _callers = Task.WhenAll(Enumerable.Range(0, callers).Select(n => RunAsync(n, new Random(random.Next()), client, leastTokens, mostTokens)));
    }

    /// <summary>Answers that were right.</summary>
    public int Answers => Volatile.Read(ref _answers);

    /// <summary>Completes when the answers under way are complete; fails where one was not exact.</summary>
    public async Task StopAsync()
    {
        _stopping = true;
        await _callers;
        if (!_wrong.IsEmpty) Assert.Fail($"{_wrong.Count} answers were wrong, {Answers} right:\n{string.Join('\n', _wrong.Take(20))}");
        Assert.True(Answers > 0);
    }

    private async Task RunAsync(int caller, Random random, Func<int, IGenerationClient> client, int leastTokens, int mostTokens)
    {
        while (!_stopping)
        {
            var request = RequestMix.Draw(random, 1, leastTokens, mostTokens)[0];
            var record = new StreamRecord(request with { RequestId = $"{caller}-{random.Next():x8}" }, $"caller {caller}");
            var right = await _cluster.Unfailed.AnswerAsync(request);
            await record.ReadAsync(client(caller), _cluster.Time);
            if (Exactness.Difference(record, right) is { } difference)
            {
                _wrong.Enqueue($"{record.Request.RequestId} from {record.Began} to {record.Ended}: {difference}");
                return; // What is refused at once takes no time: asked again and again, it would keep time from passing.
            }

            Interlocked.Increment(ref _answers);
        }
    }
}
