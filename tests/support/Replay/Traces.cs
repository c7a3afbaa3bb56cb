using System.Globalization;
using System.Text.Json;

namespace Granary.Tests.Support.Replay;

/// <summary>Traces to replay: public ones read from their files, and one that is made up.</summary>
public static class Traces
{
    /// <summary>Mooncake's trace: arrivals, lengths and the content of each 512 tokens, as ids.</summary>
    public static Trace Mooncake(string path)
    {
        var requests = new List<TraceRequest>();
        foreach (var line in File.ReadLines(path))
        {
            using var document = JsonDocument.Parse(line);
            var request = document.RootElement;
            requests.Add(new(
                request.GetProperty("timestamp").GetDouble() / 1000,
                request.GetProperty("input_length").GetInt32(),
                Math.Max(1, request.GetProperty("output_length").GetInt32()),
                [.. request.GetProperty("hash_ids").EnumerateArray().Select(id => id.GetInt32())]));
        }

        return new("mooncake", 512, [.. requests]);
    }

    /// <summary>Azure's code-completion trace: arrivals and lengths are real, what prompts share is not known and made up from a seed.</summary>
    /// <remarks>
    /// Each request belongs to a user, whose number of requests follows Zipf's law, and each user to one of 16 applications. A prompt begins with its application's system prompt
    /// (256 to 1,024 tokens), goes on with the user's context of 80 % of the rest, as an editor sends the same files again and again, and ends in something new.
    /// Every 20th request or so of a user begins a new context.
    /// </remarks>
    public static Trace Azure(string path, int seed, int users = 400)
    {
        const int BlockTokens = 64;
        const int Applications = 16;
        var random = new Random(seed);
        var contents = new Contents();
        var systems = Enumerable.Range(0, Applications).Select(_ => contents.Next(random.Next(256, 1025) / BlockTokens)).ToArray();
        var weights = Enumerable.Range(1, users).Select(rank => 1.0 / rank).ToArray();
        var contexts = Enumerable.Range(0, users).Select(_ => contents.Next(8192 / BlockTokens)).ToArray();
        var requests = new List<TraceRequest>();
        double? first = null;
        foreach (var line in File.ReadLines(path).Skip(1))
        {
            var fields = line.Split(',');
            var at = DateTime.Parse(fields[0], CultureInfo.InvariantCulture).Ticks / (double)TimeSpan.TicksPerSecond;
            first ??= at;
            var prompt = int.Parse(fields[1], CultureInfo.InvariantCulture);
            var output = Math.Max(1, int.Parse(fields[2], CultureInfo.InvariantCulture));
            var user = Draw(random, weights);
            if (random.Next(20) == 0) contexts[user] = contents.Next(8192 / BlockTokens);
            var count = (prompt + BlockTokens - 1) / BlockTokens;
            var system = systems[user % Applications];
            var shared = Math.Max(0, (count - system.Length) * 8 / 10);
            int[] blocks = [.. system.Take(count), .. contexts[user].Take(shared)];
            requests.Add(new(at - first.Value, prompt, output, [.. blocks, .. contents.Next(count - blocks.Length)]));
        }

        return new("azure", BlockTokens, [.. requests]);
    }

    /// <summary>Conversations that come back with longer prompts, over some system prompts: for tests.</summary>
    public static Trace Conversations(int seed, int requests, double requestsPerSecond)
    {
        const int BlockTokens = 16;
        var random = new Random(seed);
        var contents = new Contents();
        var open = new List<int[]>();
        var systems = Enumerable.Range(0, 4).Select(_ => contents.Next(random.Next(4, 32))).ToArray();
        var made = new TraceRequest[requests];
        var at = 0.0;
        for (var i = 0; i < requests; i++)
        {
            at -= Math.Log(1 - random.NextDouble()) / requestsPerSecond;
            var turn = open.Count == 0 || random.Next(4) == 0 ? open.Count : random.Next(open.Count);
            if (turn == open.Count) open.Add(systems[random.Next(systems.Length)]);
            open[turn] = [.. open[turn], .. contents.Next(random.Next(1, 16))];
            made[i] = new(at, open[turn].Length * BlockTokens - random.Next(BlockTokens), random.Next(1, 60), open[turn]);
        }

        return new("conversations", BlockTokens, made);
    }

    private static int Draw(Random random, double[] weights)
    {
        var left = random.NextDouble() * weights.Sum();
        var place = 0;
        while (place < weights.Length - 1 && (left -= weights[place]) >= 0) place++;
        return place;
    }

    /// <summary>Content that nobody else has.</summary>
    private sealed class Contents
    {
        private int _next;

        public int[] Next(int blocks)
        {
            _next += blocks;
            return [.. Enumerable.Range(_next - blocks, blocks)];
        }
    }
}
