using System.Security.Cryptography;

namespace Granary.Sharding.Links;

/// <summary>How two ends find out that they know the cluster's secret and mean the same link, before the first frame.</summary>
/// <remarks>
/// Dialer: Hello (versions, bounds, identity, nonce). Acceptor: Challenge (version, nonce). Dialer: Proof, an HMAC over both under the secret. Acceptor:
/// Accepted with a proof of its own, once its side asks for this very link. Each proof names its role, so that neither can be sent back as the other.
/// An acceptor answers with Refused and the reason instead; to who has not proven itself it names only the secret and the version.
/// Frames are not signed: where others can change bytes under way, TLS is what keeps them.
/// </remarks>
internal static class LinkHandshake
{
    private const int ProofBytes = HMACSHA256.HashSizeInBytes;

    /// <summary>Runs the dialer's side; the acceptor's answer may take as long as it waits for its own side.</summary>
    /// <exception cref="LinkException">Refused, here or there, or over before the answer.</exception>
    public static void Dial(ByteDuplex wire, LinkIdentity identity, LinkOptions options)
    {
        var hello = new LinkHello(
            Frame.Version, Frame.Version, RandomNumberGenerator.GetBytes(LinkHello.NonceBytes), options.Credits, options.MaxFrameBytes, identity);
        var said = hello.Encode();
        HandshakeMessage.Write(wire, HandshakeMessage.Hello, said);
        var challenge = Read(wire, HandshakeMessage.Challenge, 1 + LinkHello.NonceBytes, identity);
        if (challenge[0] != Frame.Version) throw Refused(identity, $"the acceptor speaks protocol version {challenge[0]}, expected {Frame.Version}");
        HandshakeMessage.Write(wire, HandshakeMessage.Proof, Proof(options, "granary link, dialer"u8, said, challenge));
        var accepted = Read(wire, HandshakeMessage.Accepted, ProofBytes, identity);
        if (!CryptographicOperations.FixedTimeEquals(accepted, Proof(options, "granary link, acceptor"u8, said, challenge)))
        {
            throw Refused(identity, "the acceptor does not know the cluster secret");
        }
    }

    /// <summary>Runs the acceptor's side up to the dialer's proof.</summary>
    /// <returns>The dialer at the door; <see langword="null"/> where it was refused or is no dialer.</returns>
    public static LinkKnock? Listen(ByteDuplex wire, LinkOptions options)
    {
        if (HandshakeMessage.TryRead(wire, out var said) != HandshakeMessage.Hello || !LinkHello.TryDecode(said, out var hello)) return null;
        if (hello.MinVersion > Frame.Version || hello.MaxVersion < Frame.Version)
        {
            Refuse(wire, $"protocol version {Frame.Version} is spoken here, {hello.MinVersion} to {hello.MaxVersion} there");
            return null;
        }

        byte[] challenge = [Frame.Version, .. RandomNumberGenerator.GetBytes(LinkHello.NonceBytes)];
        HandshakeMessage.Write(wire, HandshakeMessage.Challenge, challenge);
        if (HandshakeMessage.TryRead(wire, out var proof) != HandshakeMessage.Proof) return null;
        if (!CryptographicOperations.FixedTimeEquals(proof, Proof(options, "granary link, dialer"u8, said, challenge)))
        {
            Refuse(wire, "the cluster secret is another one");
            return null;
        }

        if (hello.Credits != options.Credits || hello.MaxFrameBytes != options.MaxFrameBytes)
        {
            Refuse(
                wire,
                $"credits are {hello.Credits} and the longest frame is {hello.MaxFrameBytes} bytes, expected {options.Credits} and {options.MaxFrameBytes}: options must be equal on all silos");
            return null;
        }

        return new(wire, hello.Identity, Proof(options, "granary link, acceptor"u8, said, challenge));
    }

    public static void Refuse(ByteDuplex wire, string reason)
    {
        HandshakeMessage.Write(wire, HandshakeMessage.Refused, LinkMessages.Encode(reason));
        wire.EndWriting();
    }

    private static byte[] Read(ByteDuplex wire, byte expected, int length, LinkIdentity identity)
    {
        var kind = HandshakeMessage.TryRead(wire, out var body);
        if (kind == HandshakeMessage.Refused) throw Refused(identity, LinkMessages.Decode(body));
        if (kind == 0)
        {
            throw new LinkException(
                LinkFailure.Closed, $"{LinkMessages.Name(identity)}: the acceptor closed it before it accepted{(wire.Error is { } error ? $" ({error})" : "")}.");
        }

        if (kind != expected || body.Length != length) throw Refused(identity, $"the acceptor answers with message {kind} of {body.Length} bytes, expected {expected} of {length}");
        return body;
    }

    private static LinkException Refused(LinkIdentity identity, string reason) => new(LinkFailure.Refused, $"{LinkMessages.Name(identity)} is refused: {reason}.");

    private static byte[] Proof(LinkOptions options, ReadOnlySpan<byte> role, byte[] hello, byte[] challenge)
    {
        using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, options.ClusterSecret);
        hmac.AppendData(role);
        hmac.AppendData(hello);
        hmac.AppendData(challenge); // Of fixed length, so that no byte can be shifted between the two.
        return hmac.GetHashAndReset();
    }
}

/// <summary>A dialer that has proven to know the secret and waits to be let in.</summary>
internal sealed record LinkKnock(ByteDuplex Wire, LinkIdentity Identity, byte[] Proof)
{
    /// <returns><see langword="false"/> where the dialer has left meanwhile.</returns>
    public bool LetIn() => !Wire.Listen() && HandshakeMessage.Write(Wire, HandshakeMessage.Accepted, Proof);

    public void Refuse(string reason)
    {
        LinkHandshake.Refuse(Wire, reason);
        Wire.Dispose();
    }
}
