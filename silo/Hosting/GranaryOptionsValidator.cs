using System.Net;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>Checks every setting at start; a message names setting, value and bound.</summary>
internal sealed class GranaryOptionsValidator : IValidateOptions<GranaryOptions>
{
    private const int MaxNameLength = 100;

    public ValidateOptionsResult Validate(string? name, GranaryOptions options)
    {
        var failures = new List<string>();
        for (var i = 0; i < options.Models.Count; i++)
        {
            if (string.IsNullOrWhiteSpace(options.Models[i])) failures.Add($"Granary:Models:{i} is empty; it must be a model's name, a folder, or NAME=FOLDER.");
        }

        Range("Replicas", options.Replicas, 1, 64);
        Range("Stages", options.Stages, 0, 1024);
        Range("Ranks", options.Ranks, 0, 64);
        Range("Silos", options.Silos, 1, 16);
        Range("Cores", options.Cores, 0, 4096);
        Range("MemoryBytes", options.MemoryBytes, 0, long.MaxValue);
        Range("Threads", options.Threads, 0, 1024);
        if (options.ContextLength != 0) Range("ContextLength", options.ContextLength, 16, 1 << 20);
        Range("KvBlocks", options.KvBlocks, 0, 1 << 24);
        Range("MaxTokensPerStep", options.MaxTokensPerStep, 1, 65_536);
        Range("MaxRunningSequences", options.MaxRunningSequences, 1, 1024);
        Range("MaxQueuedSequences", options.MaxQueuedSequences, 1, 65_536);
        Range("ShutdownSeconds", options.ShutdownSeconds, 1, 900);
        if (!Enum.IsDefined(options.Quantize)) failures.Add($"Granary:Quantize is {(int)options.Quantize}; it must be Float32, Int8 or Int4.");
        failures.AddRange(KvSettings.Check(options));
        failures.AddRange(DeviceSettings.Check(options));

        Name("Cluster:ServiceId", options.Cluster.ServiceId);
        Name("Cluster:ClusterId", options.Cluster.ClusterId);
        if (options.Cluster.SiloName is { } siloName)
        {
            Name("Cluster:SiloName", siloName);
            if (siloName.Contains('/', StringComparison.Ordinal)) failures.Add($"Granary:Cluster:SiloName is '{siloName}'; it must have no '/', which separates names of silos and devices.");
        }

        if (options.Cluster.Host is { } host) Name("Cluster:Host", host);
        if (options.Cluster.Zone is { Length: > 0 } zone) Name("Cluster:Zone", zone);
        if (options.Cluster.Address is { } address && (!IPAddress.TryParse(address, out var ip) || ip.Equals(IPAddress.Any) || ip.Equals(IPAddress.IPv6Any)))
            failures.Add($"Granary:Cluster:Address is '{address}'; it must be one IP address of this machine.");
        Range("Cluster:SiloPort", options.Cluster.SiloPort, 0, 65_535);
        Range("Cluster:GatewayPort", options.Cluster.GatewayPort, 0, 65_535);

        failures.AddRange(LinkSettings.Check(options));
        Range("Gateway:MaxConcurrentRequests", options.Gateway.MaxConcurrentRequests, 1, 1 << 20);
        Range("Gateway:MaxBodyBytes", options.Gateway.MaxBodyBytes, 1024, 1 << 30);
        Range("Gateway:RequestTimeoutSeconds", options.Gateway.RequestTimeoutSeconds, 1, 86_400);
        Range("Gateway:MaxChoices", options.Gateway.MaxChoices, 1, 1024);
        Range("Responses:LifetimeSeconds", options.Responses.LifetimeSeconds, 1, 40 * 86_400);
        Range("Responses:MaxConversationBytes", options.Responses.MaxConversationBytes, 1024, 1 << 26);
        Range("Responses:MemoryBytes", options.Responses.MemoryBytes, 1 << 16, long.MaxValue);
        Range("Sessions:IdleSeconds", options.Sessions.IdleSeconds, 1, 40 * 86_400);
        Range("Sessions:MaxHistoryTokens", options.Sessions.MaxHistoryTokens, 1, 1 << 24);
        Range("Sessions:PinSeconds", options.Sessions.PinSeconds, 0, 86_400);
        Range("Sessions:MemoryBytes", options.Sessions.MemoryBytes, 1 << 16, long.MaxValue);
        Range("Storage:TimeoutMilliseconds", options.Storage.TimeoutMilliseconds, 50, 10_000);
        Range("Storage:MaxValueBytes", options.Storage.MaxValueBytes, 1 << 16, 1 << 28);
        Range("Storage:EntryLifetimeSeconds", options.Storage.EntryLifetimeSeconds, 0, 400 * 86_400);
        Range("Streams:RetentionSeconds", options.Streams.RetentionSeconds, 1, 86_400);
        Range("Streams:BeginMilliseconds", options.Streams.BeginMilliseconds, 0, 10_000);
        Range("Streams:MaxBytes", options.Streams.MaxBytes, 1024, 1 << 26);
        Range("Streams:MemoryBytes", options.Streams.MemoryBytes, 1 << 16, long.MaxValue);
        Range("Gateway:MaxEmbeddingInputs", options.Gateway.MaxEmbeddingInputs, 1, 65_536);
        Range("Gateway:MaxEmbeddingTokens", options.Gateway.MaxEmbeddingTokens, 1, 1 << 24);
        if (!Enum.IsDefined(options.Gateway.Compatibility))
            failures.Add($"Granary:Gateway:Compatibility is {(int)options.Gateway.Compatibility}; it must be Lenient or Strict.");
        if (!Enum.IsDefined(options.Gateway.EmbeddingPooling))
            failures.Add($"Granary:Gateway:EmbeddingPooling is {(int)options.Gateway.EmbeddingPooling}; it must be Mean or Last.");
        for (var i = 0; i < options.Gateway.ApiKeys.Count; i++)
        {
            // The key itself is told to nobody.
            if (!Gateway.ApiKeys.IsKey(options.Gateway.ApiKeys[i])) failures.Add($"Granary:Gateway:ApiKeys:{i} has {options.Gateway.ApiKeys[i].Length} characters; {Gateway.ApiKeys.Rule}");
        }

        for (var i = 0; i < options.Gateway.CorsOrigins.Count; i++)
        {
            if (!IsOrigin(options.Gateway.CorsOrigins[i]))
                failures.Add($"Granary:Gateway:CorsOrigins:{i} is '{options.Gateway.CorsOrigins[i]}'; it must be an origin such as https://example.org, or *.");
        }

        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);

        static bool IsOrigin(string text) =>
            text == "*" || (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.GetLeftPart(UriPartial.Authority) == text);

        void Range(string key, long value, long min, long max)
        {
            if (value < min || value > max) failures.Add($"{GranaryOptions.Section}:{key} is {value}; it must be from {min} to {max}.");
        }

        void Name(string key, string value)
        {
            if (string.IsNullOrWhiteSpace(value) || value.Length > MaxNameLength)
                failures.Add($"{GranaryOptions.Section}:{key} has {value.Length} characters; it must have 1 to {MaxNameLength}, not only spaces.");
        }
    }
}
