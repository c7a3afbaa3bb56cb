using System.Text.Json.Nodes;
using Granary.Grains;
using Granary.Silo.Hosting;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>The process of a real silo whose device is simulated.</summary>
internal static class SimulatedSilo
{
    /// <summary>Arguments: milliseconds of a step.</summary>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var step = TimeSpan.FromMilliseconds(int.Parse(arguments[0], System.Globalization.CultureInfo.InvariantCulture));
        var log = new StepLog();
        var folder = Directory.CreateTempSubdirectory("granary-gateway-").FullName;
        try
        {
            await using var app = WebHost.Build(
                Settings(folder), ["http://127.0.0.1:0"], LogLevel.Warning,
                services => services.AddSingleton<IReplicaFactory>(new SimulatedReplicaFactory(step, log)));
            await app.StartAsync();
            await app.Services.GetRequiredService<ModelDeployment>().Completed;
            await ServerProcess.ObeyAsync(new Uri(app.Urls.Single()).Port, log);
            await app.StopAsync();
            return 0;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>A tiny model's files: the silo reads its tokenizer and limits; its weights are never run.</summary>
    private static Dictionary<string, string?> Settings(string folder)
    {
        var source = Path.Combine(folder, "source");
        SyntheticModel.Write(source, new SyntheticShape { Vocabulary = Prompt.Vocabulary, Context = 1024 }, seed: 1);
        // Every id is a short word with a space before it, about as long as those of real vocabularies.
        var vocabulary = new JsonObject();
        for (var id = 0; id < Prompt.Vocabulary; id++) vocabulary[$"\u0120w{id:x}"] = id;
        var tokenizer = new JsonObject
        {
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray() },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
        };
        File.WriteAllText(Path.Combine(source, "tokenizer.json"), tokenizer.ToJsonString());
        return new()
        {
            ["Granary:Models:0"] = $"simulated={source}",
            ["Granary:CacheDirectory"] = Path.Combine(folder, "cache"),
            ["Granary:Threads"] = "1",
            ["Granary:Gateway:MaxConcurrentRequests"] = "8192",
        };
    }
}
