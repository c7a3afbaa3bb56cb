using Granary.Client;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Client.Sample;

/// <summary>The sample that the SDK's README shows, compiled with the tests.</summary>
internal static class ReadmeSample
{
    public static async Task RunAsync()
    {
        var services = new ServiceCollection();
        services.AddGranaryClient(options => options.Endpoint = new Uri("http://127.0.0.1:8080"));
        await using var provider = services.BuildServiceProvider();

        var granary = provider.GetRequiredService<GranaryClient>();
        var question = new ChatRequest { Messages = [new("user", "What is the capital of France?")] };
        await foreach (var update in granary.ChatAsync(question)) Console.Write(update.Text);

        var chat = provider.GetRequiredService<IChatClient>();
        Console.WriteLine(await chat.GetResponseAsync("And of Italy?"));
    }
}
