namespace Granary.Silo.Gateway;

/// <summary>An answer other than 200, in OpenAI's terms.</summary>
internal sealed class ApiException : Exception
{
    public const string QuarantinedCode = "request_quarantined";

    private ApiException(int status, string type, string message, string? parameter, string? code, TimeSpan? retryAfter = null) : base(message)
    {
        Status = status;
        Type = type;
        Parameter = parameter;
        Code = code;
        RetryAfter = retryAfter;
    }

    public int Status { get; }

    public string Type { get; }

    /// <summary>The field at fault, where one is.</summary>
    public string? Parameter { get; }

    public string? Code { get; }

    public TimeSpan? RetryAfter { get; }

    /// <param name="message">Names field, value and bound.</param>
    public static ApiException Invalid(string parameter, string message) =>
        new(StatusCodes.Status400BadRequest, "invalid_request_error", message, parameter, "invalid_value");

    /// <param name="message">Names field and value, and says why.</param>
    public static ApiException Unsupported(string parameter, string message) =>
        new(StatusCodes.Status400BadRequest, "invalid_request_error", message, parameter, "unsupported_value");

    public static ApiException UnknownField(string parameter) =>
        new(StatusCodes.Status400BadRequest, "invalid_request_error", $"{parameter} is not a field of this request.", parameter, "unknown_parameter");

    public static ApiException Unauthorized() =>
        new(StatusCodes.Status401Unauthorized, "invalid_request_error", "No valid API key was given; send one as 'Authorization: Bearer KEY'.", null, "invalid_api_key");

    public static ApiException InvalidBody(string message) =>
        new(StatusCodes.Status400BadRequest, "invalid_request_error", message, null, "invalid_json");

    public static ApiException ContextLengthExceeded(string parameter, string message) =>
        new(StatusCodes.Status400BadRequest, "invalid_request_error", message, parameter, "context_length_exceeded");

    public static ApiException ModelNotFound(string model) =>
        new(StatusCodes.Status404NotFound, "invalid_request_error", $"The model '{model}' does not exist here.", "model", "model_not_found");

    public static ApiException ResponseNotFound(string id) =>
        new(StatusCodes.Status404NotFound, "invalid_request_error", $"There is no response '{Short(id)}' here, or none any more.", "response_id", "response_not_found");

    public static ApiException SessionNotFound(string id) =>
        new(StatusCodes.Status404NotFound, "invalid_request_error", $"There is no session '{Short(id)}' here, or none any more.", "session_id", "session_not_found");

    public static ApiException SessionExists(string id) =>
        new(StatusCodes.Status409Conflict, "invalid_request_error", $"There is a session '{Short(id)}' already; a branch needs an id of its own.", "id", "session_exists");

    public static ApiException StreamNotFound(string id) =>
        new(StatusCodes.Status404NotFound, "invalid_request_error", $"There is no stream '{Short(id)}' that could be gone on with here, or none any more.", "stream_id", "stream_not_found");

    public static ApiException PreviousResponseNotFound(string id) =>
        new(StatusCodes.Status400BadRequest, "invalid_request_error", $"There is no response '{Short(id)}' here, or none any more.", "previous_response_id", "previous_response_not_found");

    public static ApiException NotFound(string path) =>
        new(StatusCodes.Status404NotFound, "invalid_request_error", $"There is nothing at {path}.", null, "not_found");

    public static ApiException MethodNotAllowed(string method, string path) =>
        new(StatusCodes.Status405MethodNotAllowed, "invalid_request_error", $"{path} does not take {method}.", null, "method_not_allowed");

    public static ApiException BodyTooLarge(int maxBytes) =>
        new(StatusCodes.Status413PayloadTooLarge, "invalid_request_error", $"The body is larger than {maxBytes} bytes.", null, "body_too_large");

    public static ApiException BadRequest(int status) =>
        new(status, "invalid_request_error", "The request could not be read.", null, "bad_request");

    public static ApiException TooManyRequests(string message, TimeSpan retryAfter) =>
        new(StatusCodes.Status429TooManyRequests, "rate_limit_error", message, null, "too_many_requests", retryAfter);

    public static ApiException NotReady(string message, TimeSpan retryAfter) =>
        new(StatusCodes.Status503ServiceUnavailable, "server_error", message, null, "model_not_ready", retryAfter);

    public static ApiException StorageUnavailable(string message, TimeSpan retryAfter) =>
        new(StatusCodes.Status503ServiceUnavailable, "server_error", message, null, "storage_unavailable", retryAfter);

    public static ApiException DeadlineExceeded(double seconds) =>
        new(StatusCodes.Status504GatewayTimeout, "server_error", FormattableString.Invariant($"The request took longer than {seconds:0.###} s."), null, "deadline_exceeded");

    public static ApiException GenerationFailed() =>
        new(StatusCodes.Status500InternalServerError, "server_error", "Generation failed after it had begun.", null, "generation_failed");

    /// <summary>Its replicas ended with it, and would again.</summary>
    public static ApiException Quarantined() =>
        new(StatusCodes.Status500InternalServerError, "server_error", "Replicas failed in steps that this request was alone in; it is not tried again.", null, QuarantinedCode);

    public static ApiException Internal() =>
        new(StatusCodes.Status500InternalServerError, "server_error", "The server failed to answer.", null, "internal_error");

    private static string Short(string id) => id.Length <= 64 ? id : id[..64] + "…";
}
