using Granary.Silo.Hosting;
using Granary.Silo.Serving;

namespace Granary.Silo.CommandLine;

/// <summary>Serves until the process is told to stop.</summary>
internal static class ServeCommand
{
    public static async Task<int> RunAsync(Dictionary<string, string?> settings, string[]? urls)
    {
        await using var app = WebHost.Build(settings, urls ?? ServeOptions.Default);
        await app.StartAsync();
        var deployment = app.Services.GetRequiredService<ModelDeployment>();
        try
        {
            await deployment.Completed;
            await Console.Out.WriteLineAsync(ReadyLine(app));
        }
        catch (OperationCanceledException)
        {
            // Told to stop while models were loading.
        }

        // A failed deployment leaves by its exception; the host is disposed on the way out.
        await app.WaitForShutdownAsync();
        return 0;
    }

    /// <summary>A question that works when it is pasted into a shell.</summary>
    private static string ReadyLine(WebApplication app)
    {
        var address = app.Urls.First();
        var url = address.Replace("0.0.0.0", "127.0.0.1").Replace("[::]", "[::1]").Replace("//+:", "//127.0.0.1:").Replace("//*:", "//127.0.0.1:");
        var model = app.Services.GetRequiredService<ModelCatalog>().Names[0];
        return $$$"""Ready: curl -sN {{{url}}}/v1/chat/completions -H 'Content-Type: application/json' -d '{"model":"{{{model}}}","messages":[{"role":"user","content":"What is the capital of France?"}],"stream":true}'""";
    }
}
