using System.Diagnostics.Metrics;
using Granary.Engine;
using Granary.Grains;

namespace Granary.Silo.Metrics;

/// <summary>What this silo's engines are doing, read from their snapshots when somebody asks. Names and labels are vLLM's.</summary>
internal sealed class EngineMetrics
{
    public const string MeterName = "Granary.Engine";

    private readonly EngineHost _host;

    public EngineMetrics(IMeterFactory meters, EngineHost host)
    {
        _host = host;
        var meter = meters.Create(MeterName);
        Gauge("num_requests_running", "Sequences that take part in steps.", load => load.RunningSequences);
        Gauge("num_requests_waiting", "Sequences admitted and not yet running.", load => load.WaitingSequences);
        Gauge("kv_cache_usage_perc", "KV blocks in use by sequences; 1 is all of them.",
            load => load.KvBlocksTotal == 0 ? 0 : (double)load.KvBlocksUsed / load.KvBlocksTotal);
        meter.CreateObservableGauge("vllm.cache_config_info", ObserveCacheConfig, null, "Sizes of the KV cache, as labels.");
        Counter("num_preemptions", "Sequences whose KV blocks were taken back to be computed again.", load => load.Preemptions);
        Counter("prompt_tokens", "Prompt tokens of sequences that ran.", load => load.PromptTokens);
        Counter("generation_tokens", "Tokens generated.", load => load.GenerationTokens);
        Counter("prefix_cache_queries", "Prompt tokens looked up in the prefix cache.", load => load.PrefixCacheQueries);
        Counter("prefix_cache_hits", "Prompt tokens found in the prefix cache.", load => load.PrefixCacheHits);
        Counter("external_prefix_cache_hits", "Prompt tokens copied back from slower memory; prefix_cache_hits has them too.", load => load.KvTierHits);
        Counter("kv_offload_bytes", "Bytes copied between the tiers of the KV cache.", load => load.KvTierBytes);
        Counter("kv_offload_corrupt_blocks", "Copies of KV blocks whose checksum did not fit; they were computed again.", load => load.KvTierCorrupt);

        void Gauge(string name, string description, Func<EngineLoad, double> value) =>
            meter.CreateObservableGauge($"vllm.{name}", () => Observe(value), null, description);

        void Counter(string name, string description, Func<EngineLoad, long> value) =>
            meter.CreateObservableCounter($"vllm.{name}", () => Observe(value), null, description);
    }

    private IEnumerable<Measurement<T>> Observe<T>(Func<EngineLoad, T> value) where T : struct =>
        _host.Replicas.Select(replica => new Measurement<T>(
            value(replica.Engine.Load), new("model_name", replica.Model), new("engine", EngineOf(replica))));

    private IEnumerable<Measurement<double>> ObserveCacheConfig() =>
        _host.Replicas.Select(replica => new Measurement<double>(
            1, new("model_name", replica.Model), new("engine", EngineOf(replica)),
            new("block_size", replica.Engine.Info.KvBlockTokens), new("num_gpu_blocks", replica.Engine.Info.KvBlockCount),
            new("enable_prefix_caching", "True")));

    /// <summary>The replica's index within its model: the last part of <c>model/index</c>.</summary>
    private static string EngineOf(HostedReplica replica) => replica.ReplicaId[(replica.ReplicaId.LastIndexOf('/') + 1)..];
}
