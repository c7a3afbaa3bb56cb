namespace Granary.Tests.Conformance.Fuzz;

/// <summary>An answer as it came over the wire.</summary>
/// <param name="Status">0 where the connection ended without one.</param>
/// <param name="IsWhole">False where the connection ended before its framing said so.</param>
internal sealed record WireAnswer(int Status, IReadOnlyDictionary<string, string> Headers, byte[] Body, bool IsWhole)
{
    public static readonly WireAnswer None = new(0, new Dictionary<string, string>(), [], true);

    public string MediaType => Headers.TryGetValue("content-type", out var type) ? type.Split(';')[0] : "";

    /// <summary>The gateway saw it; without, the server itself refused.</summary>
    public bool IsOfTheGateway => Headers.ContainsKey("x-request-id");
}
