namespace Orleans.Configuration;

/// <summary>How calls are sent and waited for.</summary>
public abstract class MessagingOptions
{
    /// <value>30 seconds.</value>
    public TimeSpan ResponseTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Not used by the stand-in: a debugger changes nothing.</summary>
    public TimeSpan ResponseTimeoutWithDebugger { get; set; } = TimeSpan.FromMinutes(30);

    public bool DropExpiredMessages { get; set; } = true;

    public int MaxMessageHeaderSize { get; set; } = 10 * 1024 * 1024;

    public int MaxMessageBodySize { get; set; } = 100 * 1024 * 1024;

    /// <summary>A call that timed out is cancelled at the callee as well.</summary>
    public bool CancelRequestOnTimeout { get; set; }

    /// <summary>A cancelled call ends when the callee has ended it, not at once.</summary>
    public bool WaitForCancellationAcknowledgement { get; set; }

    public bool CancelUnknownRequestOnStatusUpdate { get; set; }
}

public class SiloMessagingOptions : MessagingOptions
{
    public int MaxForwardCount { get; set; } = 2;

    public TimeSpan ClientDropTimeout { get; set; } = TimeSpan.FromMinutes(1);

    public int MaxEnqueuedRequestsSoftLimit { get; set; }

    /// <summary>Calls that may wait for one activation; 0 for any number.</summary>
    public int MaxEnqueuedRequestsHardLimit { get; set; }

    public TimeSpan MaxRequestProcessingTime { get; set; } = TimeSpan.FromHours(2);

    public TimeSpan SystemResponseTimeout { get; set; } = TimeSpan.FromSeconds(30);

    public TimeSpan RequestProcessingWarningTime { get; set; } = TimeSpan.FromSeconds(20);
}

public class ClientMessagingOptions : MessagingOptions
{
    public int ClientSenderBuckets { get; set; } = 8192;
}
