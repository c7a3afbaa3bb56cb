using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Load;

/// <summary>The model of a run that names none: the first that any server of the OpenAI API lists.</summary>
internal static class ServedModel
{
    private const int MaxBytes = 4 * 1024 * 1024;

    /// <exception cref="CliException">The server lists none, or not as the API has it.</exception>
    public static async Task<string> FindAsync(HttpMessageInvoker http, LoadSettings settings, TimeProvider time, CancellationToken cancellationToken)
    {
        var address = LoadRequest.AddressOf(settings.Url, "models");
        using var timeout = new CancellationTokenSource(settings.Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        if (settings.ApiKey is { } key) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        try
        {
            using var response = await http.SendAsync(request, either.Token);
            if (!response.IsSuccessStatusCode) throw new CliException($"{address} answers {(int)response.StatusCode}; name a model with --model.");
            await response.Content.LoadIntoBufferAsync(MaxBytes, either.Token);
            var listed = JsonNode.Parse(await response.Content.ReadAsStringAsync(either.Token));
            if (listed is JsonObject answer && answer["data"] is JsonArray { Count: > 0 } models && models[0] is JsonObject model
                && model["id"] is JsonValue id && id.TryGetValue(out string? name) && name.Length > 0)
            {
                return name;
            }
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            throw new CliException($"{address} did not answer within {settings.Timeout.TotalSeconds:0.###} s.");
        }
        catch (System.Text.Json.JsonException)
        {
            // As if it listed none.
        }

        throw new CliException($"{address} lists no model; name one with --model.");
    }
}
