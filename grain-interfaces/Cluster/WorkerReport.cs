using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Orleans;

namespace Granary.GrainInterfaces.Cluster;

/// <summary>One worker: its device, what it could still take, and what it runs.</summary>
[GenerateSerializer, Immutable, Alias("granary.worker-report")]
public sealed record WorkerReport
{
    /// <summary>Key: <c>silo/device</c>.</summary>
    [Id(0)]
    public required string Worker { get; init; }

    /// <summary>The execution provider's name: <c>cpu</c>, <c>cuda</c> …</summary>
    [Id(1)]
    public required string DeviceKind { get; init; }

    [Id(2)]
    public required string Silo { get; init; }

    [Id(3)]
    public required string Host { get; init; }

    /// <summary>Empty where none is configured.</summary>
    [Id(4)]
    public string Zone { get; init; } = "";

    [Id(5)]
    public required long MemoryBytes { get; init; }

    /// <summary>Bytes that new shards may take.</summary>
    [Id(6)]
    public required long FreeBytes { get; init; }

    [Id(7)]
    public required int Cores { get; init; }

    [Id(8)]
    public required int FreeCores { get; init; }

    /// <summary>Multiply-adds a second of one core, or of the device; 0 where it was not measured.</summary>
    [Id(9)]
    public double FlopsPerSecond { get; init; }

    /// <summary>Bytes a second read from its memory; 0 where it was not measured.</summary>
    [Id(10)]
    public double BytesPerSecond { get; init; }

    /// <summary>Replicas whose engines run here.</summary>
    [Id(11)]
    public WorkerReplica[] Replicas { get; init; } = [];

    /// <summary>Shards of partitioned replicas that run here.</summary>
    [Id(12)]
    public ShardStatus[] Shards { get; init; } = [];
}

/// <summary>A replica whose engine a worker runs.</summary>
[GenerateSerializer, Immutable, Alias("granary.worker-replica")]
public sealed record WorkerReplica([property: Id(0)] ReplicaSpec Spec, [property: Id(1)] ReplicaDescriptor Descriptor, [property: Id(2)] ReplicaLoad Load);
