using Granary.Engine.Onnx.Import;

namespace Granary.Silo.Hosting;

/// <summary>What this silo serves and with what. Bound from <c>Granary</c>; the command line sets the same values.</summary>
public sealed class GranaryOptions
{
    public const string Section = "Granary";

    /// <summary>Models to serve: the name of one that came with the binary, a folder, or <c>NAME=FOLDER</c>.</summary>
    /// <value>Empty means <c>tiny-assistant</c>, which came with the binary.</value>
    public IList<string> Models { get; } = [];

    /// <summary>Where imported models are kept.</summary>
    /// <value>Default: <c>granary/models</c> under <c>XDG_CACHE_HOME</c>, else under <c>.cache</c> in the user's home.</value>
    public string? CacheDirectory { get; set; }

    /// <summary>Replicas of each model on this silo.</summary>
    public int Replicas { get; set; } = 1;

    /// <summary>Pipeline stages of each replica, on silos of the cluster that have room.</summary>
    /// <value>Default 1; 0 lets the planner choose.</value>
    public int Stages { get; set; } = 1;

    /// <summary>Tensor ranks of each stage.</summary>
    /// <value>Default 1; 0 lets the planner choose.</value>
    public int Ranks { get; set; } = 1;

    /// <summary>Silos in this process, a cluster of their own; cores and memory are divided between them, and the first serves HTTP.</summary>
    public int Silos { get; set; } = 1;

    /// <summary>Cores that all silos of this process may use together.</summary>
    /// <value>Default 0: those the process may use. Of a device other than the CPU: replicas or shards that it may hold at a time, by default one a silo.</value>
    public int Cores { get; set; }

    /// <summary>Bytes that all silos of this process may use together.</summary>
    /// <value>Default 0: what the machine or the container allows.</value>
    public long MemoryBytes { get; set; }

    /// <summary>Cores of each replica's engine; of a partitioned replica, of each shard.</summary>
    /// <value>Default 0: the machine's cores divided by the replicas and their shards. With a device other than the CPU: of what the device leaves to the CPU, by default all cores.</value>
    public int Threads { get; set; }

    /// <summary>How weights are stored and multiplied.</summary>
    public WeightFormat Quantize { get; set; } = WeightFormat.Float32;

    /// <summary>Most tokens of prompt and answer together.</summary>
    /// <value>Default 0: what the model was made for.</value>
    public int ContextLength { get; set; }

    /// <summary>KV blocks of each replica: of 16 tokens, on CUDA of 256.</summary>
    /// <value>Default 0: from the memory there is.</value>
    public int KvBlocks { get; set; }

    /// <summary>Most tokens of one engine step, prompt and decode tokens together.</summary>
    public int MaxTokensPerStep { get; set; } = 2048;

    /// <summary>Most sequences that take part in one step.</summary>
    public int MaxRunningSequences { get; set; } = 64;

    /// <summary>Most sequences admitted to a replica and not yet running; past it a replica refuses.</summary>
    public int MaxQueuedSequences { get; set; } = 256;

    /// <summary>Seconds that requests in progress get when the process is told to stop; then they are cut off. New ones are refused at once.</summary>
    /// <value>Default 30. Who reads from this silo's replicas elsewhere gets two thirds of it.</value>
    public int ShutdownSeconds { get; set; } = 30;

    /// <summary>Slower memory behind the KV cache.</summary>
    public KvOptions Kv { get; set; } = new();

    /// <summary>What models are computed with.</summary>
    public DeviceOptions Device { get; set; } = new();

    /// <summary>This silo's place in a cluster.</summary>
    public ClusterOptions Cluster { get; set; } = new();

    /// <summary>Tensor links between the shards of partitioned replicas.</summary>
    public LinksOptions Links { get; set; } = new();

    /// <summary>The HTTP gateway.</summary>
    public GatewayOptions Gateway { get; set; } = new();

    /// <summary>How long responses are kept, and how much of them.</summary>
    public ResponsesOptions Responses { get; set; } = new();

    /// <summary>How long sessions live, and how large they get.</summary>
    public SessionsOptions Sessions { get; set; } = new();

    /// <summary>Where grains keep what must outlive a silo.</summary>
    public StorageOptions Storage { get; set; } = new();

    /// <summary>Streams that another gateway can go on with.</summary>
    public StreamsOptions Streams { get; set; } = new();

    /// <summary>Replicas are whole; no planner is asked.</summary>
    internal bool IsWhole => Stages == 1 && PlannedRanks == 1;

    /// <summary>Where the number is the planner's choice, CUDA leaves it none.</summary>
    internal int PlannedRanks => Ranks == 0 && Device.HasOwnMemory ? 1 : Ranks;
}

/// <summary>How long responses of <c>/v1/responses</c> are kept, and how much of them. They are kept in the storage of the silo.</summary>
public sealed class ResponsesOptions
{
    /// <summary>Seconds for which a response can be asked for and gone on from.</summary>
    public int LifetimeSeconds { get; set; } = 3600;

    /// <summary>Bytes of one conversation's items; a request beyond them is answered 400.</summary>
    public int MaxConversationBytes { get; set; } = 1 << 20;

    /// <summary>Bytes of this silo's memory for all responses, where it keeps them; the oldest are dropped beyond them.</summary>
    public long MemoryBytes { get; set; } = 64 << 20;
}

/// <summary>Streams whose client can come back, at any gateway, and go on where it was cut off.</summary>
public sealed class StreamsOptions
{
    /// <summary>Keep a journal of every stream on another silo, where there is one.</summary>
    public bool Resumable { get; set; } = true;

    /// <summary>Milliseconds that a stream's first event waits for its journal at most, counted from its beginning; without one, events have no ids until it is there.</summary>
    /// <value>Default 250: the journal is begun beside the ticket and the prompt, which mostly take longer.</value>
    public int BeginMilliseconds { get; set; } = 250;

    /// <summary>Seconds after its last token for which a stream can be gone on with.</summary>
    public int RetentionSeconds { get; set; } = 120;

    /// <summary>Bytes of one stream's journal. A request of more than half of it has none; tokens beyond it are generated again by whoever goes on.</summary>
    public int MaxBytes { get; set; } = 1 << 20;

    /// <summary>Bytes of this silo's memory for all journals; those that were written least recently are dropped beyond them.</summary>
    public long MemoryBytes { get; set; } = 64 << 20;

    /// <summary>Write every batch to the grain storage too: of use where that outlives a silo.</summary>
    /// <value>Default: where that is Redis.</value>
    public bool? Stored { get; set; }
}

/// <summary>This silo's place in a cluster.</summary>
public sealed class ClusterOptions
{
    /// <summary>Redis that holds the cluster's membership; without it the silo is a cluster of its own.</summary>
    public string? Redis { get; set; }

    public string ServiceId { get; set; } = "granary";

    public string ClusterId { get; set; } = "granary";

    /// <summary>The silo's name, unique in the cluster.</summary>
    /// <value>Default: machine name and process id.</value>
    public string? SiloName { get; set; }

    /// <summary>This machine, as others reach and name it: shards of one host are put near each other, and tensor links are dialed by it.</summary>
    /// <value>Default: the machine's name.</value>
    public string? Host { get; set; }

    /// <summary>Failure and latency domain, as a rack: planners keep a replica within one where they can.</summary>
    /// <value>Default: none.</value>
    public string? Zone { get; set; }

    /// <summary>The IP address at which this silo listens to other silos and to clients of the cluster, and by which they know it.</summary>
    /// <value>Default: the first that the machine has on a network.</value>
    public string? Address { get; set; }

    /// <summary>Port for other silos.</summary>
    /// <value>Default 0: a free one when alone, 11111 in a cluster.</value>
    public int SiloPort { get; set; }

    /// <summary>Port for clients of the cluster.</summary>
    /// <value>Default 0: none when alone, 30000 in a cluster.</value>
    public int GatewayPort { get; set; }
}
