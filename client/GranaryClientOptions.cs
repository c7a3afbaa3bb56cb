namespace Granary.Client;

/// <summary>Where the cluster is, and how long and how often a <see cref="GranaryClient"/> tries.</summary>
public sealed class GranaryClientOptions
{
    /// <summary>Name of the HTTP client in <c>IHttpClientFactory</c>, for whoever wants to add handlers to it.</summary>
    public const string HttpClientName = "Granary.Client";

    /// <summary>The gateway's address, as <c>http://127.0.0.1:8080</c>; a path of <c>/v1</c> may stand at its end.</summary>
    /// <value>Default null: over grains, without HTTP.</value>
    public Uri? Endpoint { get; set; }

    /// <summary>Further gateways of the same cluster, at most 100; the next is asked where one gives no answer. One address before all of them needs none.</summary>
    public IList<Uri> OtherEndpoints { get; private set; } = [];

    /// <summary>Sent to the gateway as <c>Authorization: Bearer</c>; 1 to 4096 visible ASCII characters.</summary>
    /// <value>Default null: none.</value>
    public string? ApiKey { get; set; }

    /// <summary>The model of requests that name none.</summary>
    /// <value>Default null: the one model that the cluster serves, where it serves one.</value>
    public string? DefaultModel { get; set; }

    /// <summary>The longest a request that says nothing may take, all its retries included; 1 ms to 24 h.</summary>
    /// <value>Default 10 minutes, as the gateway's.</value>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How often a request that nobody took is tried again, 0 to 10; after its first token it never is.</summary>
    /// <value>Default 2.</value>
    public int MaxRetries { get; set; } = 2;

    /// <summary>The pause before the first retry, 1 ms to 1 minute. It doubles with each further one, up to 30 s, is shortened at random
    /// by up to a half, and is never shorter than what the cluster asked for.</summary>
    /// <value>Default 250 ms.</value>
    public TimeSpan RetryBaseDelay { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How often in a row a stream that broke is asked for anew, behind what came of it, 0 to 100; after every token it counts from 0 again.</summary>
    /// <value>Default 8: with the pauses of <see cref="RetryBaseDelay"/> about a minute. 0 tells of a broken stream at once.</value>
    public int MaxResumes { get; set; } = 8;

    /// <summary>How streams over grains outlive the replicas that they read from. Over HTTP that is the gateway's affair.</summary>
    public SurvivalOptions Survival { get; } = new();

    internal GranaryClientOptions Copy()
    {
        var copy = (GranaryClientOptions)MemberwiseClone();
        copy.OtherEndpoints = [.. OtherEndpoints];
        return copy;
    }
}
