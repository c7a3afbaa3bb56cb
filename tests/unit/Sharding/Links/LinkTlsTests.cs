using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Granary.Sharding.Links;

namespace Granary.Tests.Unit.Sharding.Links;

/// <summary>Over TCP both ends may have to show certificates; frames then go as ever.</summary>
public sealed class LinkTlsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly X509Certificate2 Authority = MakeAuthority("ours");
    private static readonly X509Certificate2 OtherAuthority = MakeAuthority("another's");

    [Fact]
    public async Task Send_BothEndsSendLargeFramesAtOnce_NeitherWaitsForTheOther()
    {
        await using var pair = await LinkPair.OpenAsync("tcp", With(Authority, Authority));
        const int Length = 3 << 20;
        var ends = new[] { (pair.Dialer, 1), (pair.Acceptor, 2) }.Select(end => TensorLinkTests.Run(() =>
        {
            var (link, seed) = end;
            for (var i = 0; i < 3; i++) link.Send(FrameKind.Partial, i, TensorLinkTests.Payload(seed, Length));
            var payload = new byte[Length];
            for (var i = 0; i < 3; i++)
            {
                Assert.Equal(new FrameHeader(FrameKind.Partial, i, Length), link.Receive());
                link.ReadPayload(payload);
                Assert.True(payload.AsSpan().SequenceEqual(TensorLinkTests.Payload(3 - seed, Length)));
            }
        }));
        await Task.WhenAll(ends).WaitAsync(Patience);
    }

    [Fact]
    public async Task Abort_PeerIsIdle_ItLearnsTheReason()
    {
        await using var pair = await LinkPair.OpenAsync("tcp", With(Authority, Authority));
        pair.Dialer.Abort("the sky fell");
        Assert.Contains("the sky fell", (await pair.Acceptor.Ended.WaitAsync(Patience))!.Message, StringComparison.Ordinal);
    }

    /// <summary>Neither a certificate of strangers nor none at all gets as far as the secret.</summary>
    [Theory, InlineData(true), InlineData(false)]
    public async Task ConnectAsync_NoCertificateOfTheAuthority_ComesToNothing(bool hasOne)
    {
        await using var listener = new LinkTransport(With(Authority, Authority), TimeProvider.System).Listen("tcp://127.0.0.1:0");
        using var given = new CancellationTokenSource();
        var accepting = listener.AcceptAsync(LinkPair.Identity, given.Token);
        // Without TLS a dialer speaks first and waits for an answer that is no alert; it gives up at its timeout or when it is cut.
        var stranger = new LinkTransport(hasOne ? With(OtherAuthority, Authority) : LinkPair.Options with { ConnectTimeout = TimeSpan.FromSeconds(1) }, TimeProvider.System);
        await Assert.ThrowsAsync<LinkException>(() => stranger.ConnectAsync(listener.Endpoint, LinkPair.Identity).WaitAsync(Patience));
        Assert.False(accepting.IsCompleted);
        await given.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => accepting);
    }

    [Fact]
    public async Task ConnectAsync_AcceptorOfAnotherAuthority_IsRefused()
    {
        await using var listener = new LinkTransport(With(OtherAuthority, Authority), TimeProvider.System).Listen("tcp://127.0.0.1:0");
        var dialer = new LinkTransport(With(Authority, Authority), TimeProvider.System);
        var failure = await Assert.ThrowsAsync<LinkException>(() => dialer.ConnectAsync(listener.Endpoint, LinkPair.Identity).WaitAsync(Patience));
        Assert.Equal(LinkFailure.Refused, failure.Failure);
    }

    private static LinkOptions With(X509Certificate2 issuer, X509Certificate2 trusted) =>
        LinkPair.Options with { Tls = new LinkTls(Issue(issuer), [trusted]) };

    private static X509Certificate2 MakeAuthority(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN=authority {name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(2));
    }

    private static X509Certificate2 Issue(X509Certificate2 issuer)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=silo", key, HashAlgorithmName.SHA256);
        using var certificate = request.Create(issuer, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1), RandomNumberGenerator.GetBytes(8));
        using var whole = certificate.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(whole.Export(X509ContentType.Pkcs12), null); // A key that TLS accepts on every system.
    }
}
