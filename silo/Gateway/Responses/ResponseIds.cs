namespace Granary.Silo.Gateway.Responses;

/// <summary>Ids of responses and items: a kind and 128 bits, most of them random. Whoever knows a response's id may read it.</summary>
internal static class ResponseIds
{
    private const string Response = "resp";

    /// <param name="kind">As <c>msg</c>.</param>
    public static string New(string kind) => $"{kind}_{Guid.NewGuid():N}";

    public static string NewResponse() => New(Response);

    /// <summary>Whether it can be the id of a response from here; others need not be looked for.</summary>
    public static bool IsResponse(string id) =>
        id.StartsWith(Response + "_", StringComparison.Ordinal) && Guid.TryParseExact(id.AsSpan(Response.Length + 1), "N", out _);
}
