namespace Orleans.Configuration;

// Settings of membership, directory and sockets. They are accepted so that the same code configures both runtimes;
// within one process there is nothing for them to tune.

public class ClusterMembershipOptions
{
    public int NumMissedTableIAmAliveLimit { get; set; } = 3;

    public bool LivenessEnabled { get; set; } = true;

    public TimeSpan ProbeTimeout { get; set; } = TimeSpan.FromSeconds(5);

    public TimeSpan MinProbeTimeout { get; set; } = TimeSpan.FromSeconds(2.5);

    public TimeSpan MaxProbeTimeout { get; set; } = TimeSpan.FromSeconds(20);

    public TimeSpan TableRefreshTimeout { get; set; } = TimeSpan.FromSeconds(60);

    public TimeSpan DeathVoteExpirationTimeout { get; set; } = TimeSpan.FromMinutes(2);

    public TimeSpan IAmAliveTablePublishTimeout { get; set; } = TimeSpan.FromSeconds(30);

    public TimeSpan MaxJoinAttemptTime { get; set; } = TimeSpan.FromMinutes(5);

    public bool UseLivenessGossip { get; set; } = true;

    public int NumProbedSilos { get; set; } = 10;

    public int NumMissedProbesLimit { get; set; } = 3;

    public int NumVotesForDeathDeclaration { get; set; } = 2;

    public TimeSpan DefunctSiloExpiration { get; set; } = TimeSpan.FromDays(7);

    public TimeSpan? DefunctSiloCleanupPeriod { get; set; } = TimeSpan.FromHours(1);

    public int? MaxDefunctSiloEntries { get; set; } = 25;

    public TimeSpan LocalHealthDegradationMonitoringPeriod { get; set; } = TimeSpan.FromSeconds(10);

    public bool ExtendProbeTimeoutDuringDegradation { get; set; } = true;

    public bool EnableIndirectProbes { get; set; } = true;

    public bool EnableConnectionLivenessCheck { get; set; } = true;

    public bool EvictWhenMaxJoinAttemptTimeExceeded { get; set; } = true;
}

public class GrainDirectoryOptions
{
    public const int DEFAULT_CACHE_SIZE = 1_000_000;
    public const int DEFAULT_PARTITIONS_PER_SILO = 1;

    public int CacheSize { get; set; } = DEFAULT_CACHE_SIZE;

    public int PartitionsPerSilo { get; set; } = DEFAULT_PARTITIONS_PER_SILO;

    public TimeSpan MaximumCacheTTL { get; set; } = TimeSpan.FromSeconds(240);

    public TimeSpan LazyDeregistrationDelay { get; set; } = TimeSpan.FromMinutes(1);

    public TimeSpan RangeLeaseDuration { get; set; } = TimeSpan.FromSeconds(30);
}

public class GatewayOptions
{
    public TimeSpan GatewayListRefreshPeriod { get; set; } = TimeSpan.FromMinutes(1);

    public int PreferredGatewayIndex { get; set; } = -1;
}

public class LoadSheddingOptions
{
    public bool LoadSheddingEnabled { get; set; }

    public int CpuThreshold { get; set; } = 95;

    public int MemoryThreshold { get; set; } = 90;
}

public class ConnectionOptions
{
    public int ConnectionsPerEndpoint { get; set; } = 1;

    public TimeSpan ConnectionRetryDelay { get; set; } = TimeSpan.FromSeconds(1);

    public TimeSpan OpenConnectionTimeout { get; set; } = TimeSpan.FromSeconds(5);
}

public class MemoryGrainStorageOptions
{
    public const int NumStorageGrainsDefaultValue = 10;

    public int NumStorageGrains { get; set; } = NumStorageGrainsDefaultValue;
}
