using System.CommandLine;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Topology;

/// <summary>Shows what a cluster has and runs, once or again and again.</summary>
internal static class TopologyCommand
{
    private const int MaxBytes = 16 * 1024 * 1024;
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan DefaultPeriod = TimeSpan.FromSeconds(2);

    public static Command Create(CliContext context)
    {
        var connection = new ConnectionOptions();
        var asJson = new Option<bool>("--json") { Description = "The server's own JSON, one line each time, instead of tables." };
        var watch = new Option<bool>("--watch") { Description = $"Again each {DefaultPeriod.TotalSeconds:0} s (or --period), until Ctrl+C." };
        var period = Values.Number("--period", "Seconds between two looks.", "SECONDS", 0.1, 3600);
        var command = new Command("topology", "Shows a cluster's silos, workers, shards and links.");
        connection.AddTo(command);
        foreach (var option in (ReadOnlySpan<Option>)[asJson, watch, period]) command.Options.Add(option);
        command.SetAction(async (result, cancellationToken) =>
        {
            using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            using var interrupt = context.OnInterrupt(() =>
            {
                ended.Cancel();
                return true;
            });
            using var http = new HttpMessageInvoker(context.Http ?? new SocketsHttpHandler(), disposeHandler: context.Http is null);
            await using var output = context.OpenText();
            var (url, key) = (connection.Url(result), connection.ApiKey(result, context));
            var pause = result.GetValue(period) is { } seconds ? TimeSpan.FromSeconds(seconds) : DefaultPeriod;
            try
            {
                while (true)
                {
                    var topology = await AskAsync(http, url, key, context.Time, ended.Token);
                    await output.WriteLineAsync(result.GetValue(asJson) ? topology.ToJsonString() : TopologyTable.Format(topology));
                    await output.FlushAsync(ended.Token);
                    if (!result.GetValue(watch)) return 0;
                    await Task.Delay(pause, context.Time, ended.Token);
                }
            }
            catch (OperationCanceledException) when (ended.IsCancellationRequested)
            {
                return 0;
            }
        });
        return command;
    }

    /// <exception cref="CliException">The server refuses, is late, or knows no topology.</exception>
    private static async Task<JsonObject> AskAsync(HttpMessageInvoker http, Uri url, string? key, TimeProvider time, CancellationToken cancellationToken)
    {
        var address = AddressOf(url);
        using var timeout = new CancellationTokenSource(Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        if (key is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        try
        {
            using var response = await http.SendAsync(request, either.Token);
            if (!response.IsSuccessStatusCode) throw new CliException($"{address} answers {(int)response.StatusCode}.");
            await response.Content.LoadIntoBufferAsync(MaxBytes, either.Token);
            if (JsonNode.Parse(await response.Content.ReadAsStringAsync(either.Token)) is JsonObject topology) return topology;
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new CliException($"{address} did not answer within {Timeout.TotalSeconds:0} s.");
        }
        catch (JsonException)
        {
            // As if it were no object.
        }

        throw new CliException($"{address} answers no topology.");
    }

    /// <summary>The server itself, where the address is that of its API.</summary>
    private static Uri AddressOf(Uri url)
    {
        var root = url.AbsoluteUri.TrimEnd('/');
        if (root.EndsWith("/v1", StringComparison.Ordinal)) root = root[..^"/v1".Length];
        return new Uri($"{root}/admin/topology");
    }
}
