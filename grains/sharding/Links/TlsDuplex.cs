using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Granary.Sharding.Links;

/// <summary>TLS over another duplex, both ends with certificates of the authorities they trust.</summary>
/// <remarks>Host names are not compared: who the peer is, the handshake of the link decides; any silo may run any shard.</remarks>
internal sealed class TlsDuplex : ByteDuplex
{
    private readonly ByteDuplex _inner;
    private readonly SslStream _stream;
    private volatile string? _error;

    private TlsDuplex(ByteDuplex inner, SslStream stream)
    {
        _inner = inner;
        _stream = stream;
    }

    public override long LastHeard => _inner.LastHeard;

    public override string? Error => _error ?? _inner.Error;

    public override bool CanWriteNow => _inner.CanWriteNow;

    public override bool HasInput => _inner.HasInput;

    /// <exception cref="AuthenticationException">The peer shows no certificate that is trusted here.</exception>
    /// <exception cref="IOException">The peer left.</exception>
    public static TlsDuplex Authenticate(ByteDuplex inner, LinkTls tls, string host, bool asServer)
    {
        var stream = new SslStream(new DuplexStream(inner), leaveInnerStreamOpen: true);
        try
        {
            if (asServer)
            {
                stream.AuthenticateAsServer(new SslServerAuthenticationOptions
                {
                    ServerCertificate = tls.Certificate,
                    ClientCertificateRequired = true,
                    CertificateChainPolicy = Policy(tls),
                    RemoteCertificateValidationCallback = IsTrusted,
                });
            }
            else
            {
                stream.AuthenticateAsClient(new SslClientAuthenticationOptions
                {
                    TargetHost = host,
                    ClientCertificates = [tls.Certificate],
                    CertificateChainPolicy = Policy(tls),
                    RemoteCertificateValidationCallback = IsTrusted,
                });
            }

            return new(inner, stream);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    public override int Read(Span<byte> destination)
    {
        try
        {
            return _stream.Read(destination);
        }
        catch (Exception error) when (IsEnd(error))
        {
            return 0;
        }
    }

    public override bool Write(ReadOnlySpan<byte> header, ReadOnlySpan<byte> first = default, ReadOnlySpan<byte> second = default)
    {
        try
        {
            _stream.Write(header);
            if (!first.IsEmpty) _stream.Write(first);
            if (!second.IsEmpty) _stream.Write(second);
            return true;
        }
        catch (Exception error) when (IsEnd(error))
        {
            return false;
        }
    }

    public override bool Listen() => _inner.Listen();

    public override void EndWriting() => _inner.EndWriting();

    public override void Abort() => _inner.Abort();

    public override void Dispose()
    {
        _inner.Dispose();
        _stream.Dispose();
    }

    private bool IsEnd(Exception error)
    {
        if (error is not (IOException or ObjectDisposedException or InvalidOperationException or AuthenticationException)) return false;
        _error ??= error.Message;
        return true;
    }

    private static X509ChainPolicy Policy(LinkTls tls)
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.AddRange(tls.Authorities);
        return policy;
    }

    private static bool IsTrusted(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors) =>
        certificate is not null && (errors & ~SslPolicyErrors.RemoteCertificateNameMismatch) == SslPolicyErrors.None;
}
