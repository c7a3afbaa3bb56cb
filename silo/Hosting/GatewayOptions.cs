using Granary.GrainInterfaces;

namespace Granary.Silo.Hosting;

/// <summary>Bounds of the HTTP gateway, who may ask it, and how it judges requests.</summary>
public sealed class GatewayOptions
{
    /// <summary>Requests in progress; the next one is answered 429.</summary>
    public int MaxConcurrentRequests { get; set; } = 512;

    /// <summary>Bytes of a request's body; a larger one is answered 413.</summary>
    public int MaxBodyBytes { get; set; } = 4 << 20;

    /// <summary>Seconds after which a request is ended wherever it is.</summary>
    public int RequestTimeoutSeconds { get; set; } = 600;

    /// <summary>Choices of one request, over all its prompts.</summary>
    public int MaxChoices { get; set; } = 32;

    /// <summary>Texts of one embedding request.</summary>
    /// <value>Default 2048, as OpenAI.</value>
    public int MaxEmbeddingInputs { get; set; } = 2048;

    /// <summary>Tokens of one embedding request, over all its texts.</summary>
    /// <value>Default 300,000, as OpenAI.</value>
    public int MaxEmbeddingTokens { get; set; } = 300_000;

    /// <summary>How positions become one vector where a request does not say.</summary>
    public PoolingMethod EmbeddingPooling { get; set; } = PoolingMethod.Mean;

    /// <summary>Whose reading of the API decides where OpenAI and vLLM differ.</summary>
    public Compatibility Compatibility { get; set; } = Compatibility.Lenient;

    /// <summary>Keys of which a request must bring one; none means that everybody may ask, which is allowed on loopback addresses only.</summary>
    public IList<string> ApiKeys { get; } = [];

    /// <summary>A file with further keys, one a line; empty lines and those that begin with <c>#</c> are none. It is read once, at start.</summary>
    public string? ApiKeysFile { get; set; }

    /// <summary>Listen on other than loopback addresses without keys.</summary>
    public bool AllowAnonymous { get; set; }

    /// <summary>Origins, as <c>https://example.org</c>, whose pages may ask from a browser; <c>*</c> for all.</summary>
    /// <value>Default: none.</value>
    public IList<string> CorsOrigins { get; } = [];
}

/// <summary>Whose reading of the API decides where they differ.</summary>
public enum Compatibility
{
    /// <summary>As OpenAI: what has no effect is tolerated.</summary>
    Lenient = 0,

    /// <summary>As vLLM: what has no effect is refused, and so is every unknown field.</summary>
    Strict = 1,
}
