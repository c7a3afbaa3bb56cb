namespace Granary.Client;

/// <summary>A request that did not succeed.</summary>
public abstract class GranaryClientException(string message, Exception? inner) : Exception(message, inner)
{
    /// <summary>The request's id, to be found in the cluster's logs.</summary>
    public string? RequestId { get; init; }
}

/// <summary>The request cannot succeed as it is.</summary>
/// <param name="message">Names field, value and bound.</param>
/// <param name="parameter">The field at fault, in the OpenAI API's terms, where one is.</param>
public sealed class GranaryRequestException(string message, string? parameter, Exception? inner = null) : GranaryClientException(message, inner)
{
    public string? Parameter => parameter;

    /// <summary>The API's code, such as <c>context_length_exceeded</c> or <c>model_not_found</c>.</summary>
    public string? Code { get; init; }
}

/// <summary>Nobody could take the request now; nothing was started.</summary>
public sealed class GranaryUnavailableException(string message, TimeSpan? retryAfter, Exception? inner = null) : GranaryClientException(message, inner)
{
    /// <summary>When to try again, where the cluster said so.</summary>
    public TimeSpan? RetryAfter => retryAfter;
}

/// <summary>Generation failed after it had begun.</summary>
public sealed class GranaryGenerationException(string message, Exception? inner = null) : GranaryClientException(message, inner);
