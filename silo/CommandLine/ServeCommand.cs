using Granary.Silo.Gateway;
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
        try
        {
            await app.Services.GetRequiredService<ModelDeployment>().Completed.WaitAsync(app.Lifetime.ApplicationStopping);
            await Console.Out.WriteLineAsync(ReadyLine(app));
            await app.WaitForShutdownAsync();
            return 0;
        }
        catch (OperationCanceledException)
        {
            return 0; // Told to stop while models were loading.
        }
        finally
        {
            await app.StopAsync();
        }
    }

    /// <summary>A question that works when it is pasted into a shell.</summary>
    private static string ReadyLine(WebApplication app)
    {
        var url = app.Urls.First().Replace("//0.0.0.0:", "//127.0.0.1:").Replace("//[::]:", "//[::1]:").Replace("//+:", "//127.0.0.1:").Replace("//*:", "//127.0.0.1:");
        var model = app.Services.GetRequiredService<ModelCatalog>().Names[0];
        var key = app.Services.GetRequiredService<ApiKeys>().AreRequired ? "-H \"Authorization: Bearer $KEY\" " : "";
        return $$$"""Ready: curl -sN {{{url}}}/v1/chat/completions {{{key}}}-H 'Content-Type: application/json' -d '{"model":"{{{model}}}","messages":[{"role":"user","content":"What is the capital of France?"}],"stream":true}'""";
    }
}
