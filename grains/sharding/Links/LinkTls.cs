using System.Security.Cryptography.X509Certificates;

namespace Granary.Sharding.Links;

/// <summary>Certificates of this end, and of whom it trusts. Both ends show theirs.</summary>
/// <param name="Certificate">With its private key.</param>
/// <param name="Authorities">Issuers that a peer's certificate must come from.</param>
public sealed record LinkTls(X509Certificate2 Certificate, X509Certificate2Collection Authorities);
