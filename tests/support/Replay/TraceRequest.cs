namespace Granary.Tests.Support.Replay;

/// <summary>One request of a trace.</summary>
/// <param name="Arrival">Seconds since the trace began.</param>
/// <param name="PromptTokens">At least 1.</param>
/// <param name="OutputTokens">At least 1.</param>
/// <param name="Blocks">What each block of the prompt holds, the last maybe in part; equal ids hold equal tokens.</param>
public sealed record TraceRequest(double Arrival, int PromptTokens, int OutputTokens, int[] Blocks);

/// <summary>Requests in order of arrival.</summary>
/// <param name="BlockTokens">Tokens of a block.</param>
public sealed record Trace(string Name, int BlockTokens, TraceRequest[] Requests)
{
    public double Seconds => Requests[^1].Arrival;

    public long PromptBlocks => Requests.Sum(request => (long)request.Blocks.Length);

    /// <summary>The same requests, arriving so many times as fast.</summary>
    public Trace AtLoad(double factor) => this with { Requests = [.. Requests.Select(request => request with { Arrival = request.Arrival / factor })] };

    /// <summary>What is left of it without its first requests, from its new first on.</summary>
    public Trace Without(int first) =>
        this with { Requests = [.. Requests.Skip(first).Select(request => request with { Arrival = request.Arrival - Requests[first].Arrival })] };

    /// <summary>Share of blocks that one cache of so many blocks finds, used in order of arrival and least recently used first given up: what no cluster of that size can be asked to exceed by much.</summary>
    public double OracleReuse(int capacity)
    {
        var places = new Dictionary<int, LinkedListNode<int>>();
        var byUse = new LinkedList<int>();
        var hits = 0L;
        foreach (var block in Requests.SelectMany(request => request.Blocks))
        {
            if (places.TryGetValue(block, out var place))
            {
                hits++;
                byUse.Remove(place);
                byUse.AddLast(place);
                continue;
            }

            places.Add(block, byUse.AddLast(block));
            if (places.Count <= capacity) continue;
            places.Remove(byUse.First!.Value);
            byUse.RemoveFirst();
        }

        return (double)hits / PromptBlocks;
    }
}
