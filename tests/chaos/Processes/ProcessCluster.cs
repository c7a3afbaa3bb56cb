using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace Granary.Tests.Chaos.Processes;

/// <summary>Silos as processes of their own, and the Redis where they meet. Nothing of it is left when it is disposed.</summary>
internal sealed class ProcessCluster : IAsyncDisposable
{
    public const string Model = "tiny-assistant";

    private ProcessCluster(string folder, ProcessRedis redis, ProcessSilo[] silos) => (Folder, Redis, Silos) = (folder, redis, silos);

    /// <summary>Logs, and all else that the processes write.</summary>
    public string Folder { get; }

    public ProcessRedis Redis { get; }

    public ProcessSilo[] Silos { get; }

    /// <summary>Runs a scenario on a cluster of its own. Where it fails, the logs stay and the failure tells where.</summary>
    /// <param name="network">Where silos run; null for all on loopback.</param>
    public static async Task RunAsync(int silos, Func<ProcessCluster, Task> scenario, string[]? arguments = null, SiloNetwork? network = null)
    {
        var folder = Directory.CreateTempSubdirectory("granary-chaos-").FullName;
        try
        {
            await using var cluster = Create(folder, silos, arguments ?? [], network);
            await cluster.StartAsync();
            await scenario(cluster);
        }
        catch (Exception exception)
        {
            throw new InvalidOperationException($"{exception.Message} (logs: {folder}/*.log)", exception);
        }

        Directory.Delete(folder, recursive: true);
    }

    /// <summary>Every silo is ready, and every one knows that all replicas live.</summary>
    public async Task WaitWholeAsync()
    {
        await Task.WhenAll(Silos.Select(silo => silo.WaitReadyAsync()));
        foreach (var silo in Silos) await Wait.UntilAsync(() => IsWholeAsync(silo), $"{silo.Name} knows that all replicas live");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var silo in Silos) await silo.DisposeAsync();
        await Redis.DisposeAsync();
    }

    private static ProcessCluster Create(string folder, int silos, string[] arguments, SiloNetwork? network)
    {
        var secret = Path.Combine(folder, "secret");
        File.WriteAllText(secret, Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));
        var ports = Wait.FreePorts(1 + (3 * silos));
        var redis = new ProcessRedis(folder, network?.Own ?? "127.0.0.1", ports[0]);
        return new(folder, redis, [.. Enumerable.Range(0, silos).Select(n => Silo(n, ports.AsSpan(1 + (3 * n), 3)))]);

        ProcessSilo Silo(int n, Span<int> own)
        {
            var (name, address) = ($"silo-{n + 1}", network?.AddressOf(n) ?? "127.0.0.1");
            var url = $"http://{address}:{own[0]}";
            var settings = new Dictionary<string, string>
            {
                ["Granary__CacheDirectory"] = Path.Combine(folder, "models"),
                ["Granary__Cores"] = "1",
                ["Granary__KvBlocks"] = "512",
                ["Granary__Gateway__AllowAnonymous"] = "true",
                ["Granary__Cluster__Redis"] = redis.Endpoint,
                ["Granary__Cluster__SiloName"] = name,
                ["Granary__Cluster__Address"] = address,
                ["Granary__Cluster__SiloPort"] = $"{own[1]}",
                ["Granary__Cluster__GatewayPort"] = $"{own[2]}",
                ["Granary__Links__Endpoint"] = $"unix:{Path.Combine(folder, $"links-{n + 1}")}",
                ["Granary__Links__SecretFile"] = secret,
                ["Logging__Console__FormatterOptions__TimestampFormat"] = "HH:mm:ss.fff ",
            };
            string[] command = [.. network?.Enter(n) ?? [], "dotnet", Path.Combine(AppContext.BaseDirectory, "Granary.Silo.dll"), "--urls", url, "--threads", "1", .. arguments];
            return new(name, new Uri(url), Path.Combine(folder, $"{name}.log"), command, settings);
        }
    }

    private async Task StartAsync()
    {
        await Redis.StartAsync();
        foreach (var silo in Silos) silo.Start();
        await WaitWholeAsync();
    }

    private static async Task<bool> IsWholeAsync(ProcessSilo silo)
    {
        var model = await silo.AskAsync("/admin/topology") is { } topology ? JsonNode.Parse(topology)!["models"]![0]! : null;
        return model is not null && (int)model["wanted_replicas"]! == (int)model["living_replicas"]! && model["missing"]!.AsArray().Count == 0;
    }
}
