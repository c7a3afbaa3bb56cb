using Granary.GrainInterfaces.Errors;
using Orleans.Runtime;

namespace Granary.Client;

/// <summary>What the grains' errors are to a caller of <see cref="GranaryClient"/>.</summary>
internal static class GrainErrors
{
    /// <param name="requestId">Null where there is none yet.</param>
    /// <returns>Null where the error stays as it is.</returns>
    public static GranaryClientException? Map(Exception exception, string? requestId) => exception switch
    {
        RequestRefusedException refused => new GranaryRequestException(refused.Message, refused.Parameter, refused) { Code = Refusals.InvalidValue, RequestId = requestId },
        ModelNotReadyException notReady => new GranaryUnavailableException(notReady.Message, notReady.RetryAfter, notReady) { RequestId = requestId },
        ReplicaSaturatedException saturated => new GranaryUnavailableException(saturated.Message, saturated.RetryAfter, saturated) { RequestId = requestId },
        EpochMismatchException or ModelLoadException => new GranaryUnavailableException(exception.Message, null, exception) { RequestId = requestId },
        GranaryException => new GranaryGenerationException(exception.Message, exception) { RequestId = requestId },
        OrleansException => new GranaryUnavailableException($"The cluster does not answer: {exception.GetType().Name}: {exception.Message}", null, exception) { RequestId = requestId },
        _ => null,
    };
}
