using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Granary.Engine.Partitioning;
using Granary.Sharding.Links;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Sharding.Links;

/// <summary>Who gets a link, who does not, and what those are told.</summary>
public sealed class LinkHandshakeTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly TemporaryFolder _folder = new();
    private readonly ManualTime _time = new();
    private readonly LinkTransport _transport;

    public LinkHandshakeTests() => _transport = new(LinkPair.Options, _time);

    public static TheoryData<string> Schemes => LinkPair.Schemes;

    public void Dispose() => _folder.Dispose();

    [Theory, MemberData(nameof(Schemes))]
    public async Task ConnectAsync_OtherSecret_IsRefused(string scheme)
    {
        await using var listener = Listen(scheme);
        using var given = new CancellationTokenSource();
        var accepting = listener.AcceptAsync(LinkPair.Identity, given.Token);
        var stranger = new LinkTransport(LinkPair.Options with { ClusterSecret = RandomNumberGenerator.GetBytes(32) }, _time);
        await RefusedAsync(stranger.ConnectAsync(listener.Endpoint, LinkPair.Identity), "the cluster secret is another one");
        Assert.False(accepting.IsCompleted);
        await given.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => accepting);
    }

    [Theory, MemberData(nameof(Schemes))]
    public async Task ConnectAsync_OlderEpoch_IsRefusedAtOnce(string scheme)
    {
        await using var listener = Listen(scheme);
        using var given = new CancellationTokenSource();
        var accepting = listener.AcceptAsync(LinkPair.Identity, given.Token);
        await RefusedAsync(_transport.ConnectAsync(listener.Endpoint, LinkPair.Identity with { Epoch = 5 }), "epoch 5 is over, expected 7");
        await given.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => accepting);
    }

    /// <summary>The old life's dialer came first and waits; the new life's acceptor sends it away.</summary>
    [Fact]
    public async Task AcceptAsync_OlderEpochWaitsAtTheDoor_IsRefusedThen()
    {
        await using var listener = Listen("unix");
        var old = _transport.ConnectAsync(listener.Endpoint, LinkPair.Identity with { Epoch = 5 });
        await _time.ArmedFor(LinkPair.Options.ConnectTimeout * 0.8).WaitAsync(Patience); // It waits.
        var accepting = listener.AcceptAsync(LinkPair.Identity);
        await RefusedAsync(old, "epoch 5 is over, expected 7");
        using var dialer = await _transport.ConnectAsync(listener.Endpoint, LinkPair.Identity);
        using var acceptor = await accepting;
    }

    public static TheoryData<string, LinkIdentity> NotAwaited => new()
    {
        { "replica", LinkPair.Identity with { ReplicaId = "other@1/0" } },
        { "epoch", LinkPair.Identity with { Epoch = 8 } },
        { "dialer", LinkPair.Identity with { Dialer = new ShardPlace(0, 1) } },
        { "acceptor", LinkPair.Identity with { Acceptor = new ShardPlace(1, 1) } },
        { "purpose", LinkPair.Identity with { Purpose = LinkPurpose.Reduction } },
    };

    /// <summary>The link may still be asked for until the time is up; then the dialer hears what was expected instead.</summary>
    [Theory, MemberData(nameof(NotAwaited), DisableDiscoveryEnumeration = true)]
    public async Task ConnectAsync_LinkThatNobodyAsksFor_IsRefusedWithWhatWasExpected(string different, LinkIdentity identity)
    {
        await using var listener = Listen("memory");
        using var given = new CancellationTokenSource();
        var accepting = listener.AcceptAsync(LinkPair.Identity, given.Token);
        var connecting = _transport.ConnectAsync(listener.Endpoint, identity);
        await _time.ArmedFor(LinkPair.Options.ConnectTimeout * 0.8).WaitAsync(Patience);
        Assert.False(connecting.IsCompleted, different);
        _time.Advance(LinkPair.Options.ConnectTimeout * 0.8);
        await RefusedAsync(connecting, "expected here: Activations link 0.0 → 1.0 of replica toy@1/0, epoch 7");
        await given.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => accepting);
    }

    [Fact]
    public async Task ConnectAsync_OtherBounds_IsRefusedNamingBoth()
    {
        await using var listener = Listen("tcp");
        var other = new LinkTransport(LinkPair.Options with { Credits = 3 }, _time);
        await RefusedAsync(other.ConnectAsync(listener.Endpoint, LinkPair.Identity), "credits are 3");
    }

    [Fact]
    public async Task Listen_OtherProtocolVersion_AnswersWithItsOwn()
    {
        await using var listener = Listen("unix");
        using var socket = Connect(listener);
        using var wire = new SocketDuplex(socket, TimeProvider.System, 0);
        var hello = new LinkHello(2, 9, new byte[LinkHello.NonceBytes], 8, 100, LinkPair.Identity);
        Assert.True(HandshakeMessage.Write(wire, HandshakeMessage.Hello, hello.Encode()));
        Assert.Equal(HandshakeMessage.Refused, HandshakeMessage.TryRead(wire, out var reason));
        Assert.Equal("protocol version 1 is spoken here, 2 to 9 there", LinkMessages.Decode(reason));
    }

    /// <summary>An acceptor without the secret may let anybody in; the dialer does not go.</summary>
    [Fact]
    public async Task ConnectAsync_AcceptorDoesNotKnowTheSecret_DialerLeaves()
    {
        var path = _folder["s"];
        using var socket = SocketFactory.Create(AddressFamily.Unix);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen();
        var connecting = _transport.ConnectAsync($"unix:{path}", LinkPair.Identity);
        using var wire = new SocketDuplex(await socket.AcceptAsync(), TimeProvider.System, 0);
        Assert.Equal(HandshakeMessage.Hello, HandshakeMessage.TryRead(wire, out _));
        HandshakeMessage.Write(wire, HandshakeMessage.Challenge, [Frame.Version, .. new byte[LinkHello.NonceBytes]]);
        Assert.Equal(HandshakeMessage.Proof, HandshakeMessage.TryRead(wire, out var proof));
        HandshakeMessage.Write(wire, HandshakeMessage.Accepted, proof); // Its own proof sent back is none.
        await RefusedAsync(connecting, "the acceptor does not know the cluster secret");
    }

    [Theory, MemberData(nameof(Schemes))]
    public async Task ConnectAsync_BeforeTheAcceptor_Waits(string scheme)
    {
        await using var listener = Listen(scheme);
        var connecting = _transport.ConnectAsync(listener.Endpoint, LinkPair.Identity);
        await _time.ArmedFor(LinkPair.Options.ConnectTimeout * 0.8).WaitAsync(Patience);
        using var acceptor = await listener.AcceptAsync(LinkPair.Identity).WaitAsync(Patience);
        using var dialer = await connecting.WaitAsync(Patience);
        Assert.Equal(2, _transport.OpenLinks);
    }

    [Fact]
    public async Task ConnectAsync_NobodyAnswers_EndsAtTheTimeout()
    {
        var path = _folder["s"];
        using var socket = SocketFactory.Create(AddressFamily.Unix);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen();
        var connecting = _transport.ConnectAsync($"unix:{path}", LinkPair.Identity);
        using var accepted = await socket.AcceptAsync();
        _time.Advance(LinkPair.Options.ConnectTimeout);
        var failure = await Assert.ThrowsAsync<LinkException>(() => connecting.WaitAsync(Patience));
        Assert.Equal(LinkFailure.Silent, failure.Failure);
        Assert.Contains("within 5 s", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ConnectAsync_Cancelled_EndsSo()
    {
        await using var listener = Listen("unix");
        using var given = new CancellationTokenSource();
        var connecting = _transport.ConnectAsync(listener.Endpoint, LinkPair.Identity, given.Token);
        await given.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting.WaitAsync(Patience));
    }

    [Theory, InlineData("memory:nobody-listens-here"), InlineData("unix:/nonexistent/s"), InlineData("tcp://127.0.0.1:1")]
    public async Task ConnectAsync_NobodyListens_NamesTheEndpoint(string endpoint)
    {
        var failure = await Assert.ThrowsAsync<LinkException>(() => _transport.ConnectAsync(endpoint, LinkPair.Identity).WaitAsync(Patience));
        Assert.Equal(LinkFailure.Closed, failure.Failure);
        Assert.Contains(endpoint, failure.Message, StringComparison.Ordinal);
    }

    /// <summary>Strangers who say anything, or nothing, neither get in nor keep others out.</summary>
    [Theory, InlineData("unix"), InlineData("tcp")]
    public async Task Listen_Garbage_IsDroppedAndOthersGetIn(string scheme)
    {
        await using var listener = Listen(scheme);
        for (var seed = 1; seed <= 60; seed++)
        {
            var random = new Random(seed);
            using var socket = Connect(listener);
            byte[] said = [.. "GNHS"u8, (byte)random.Next(6), .. TensorLinkTests.Payload(seed, random.Next(2000))];
            socket.Send(said.AsSpan(random.Next(2) * random.Next(8)));
            socket.Shutdown(SocketShutdown.Send);
            var rest = new byte[4096];
            while (await ReadAsync(socket, rest) > 0)
            {
                // A refusal or a challenge; then its end.
            }
        }

        var silent = Enumerable.Range(0, LinkListener.MaxStrangers - 1).Select(_ => Connect(listener)).ToList();
        var accepting = listener.AcceptAsync(LinkPair.Identity);
        using var dialer = await _transport.ConnectAsync(listener.Endpoint, LinkPair.Identity).WaitAsync(Patience);
        using var acceptor = await accepting.WaitAsync(Patience);
        silent.ForEach(socket => socket.Dispose());
    }

    [Fact]
    public async Task Listen_UnixSocket_FileIsTheUsersAloneAndGoesWithIt()
    {
        if (OperatingSystem.IsWindows()) return;
        var path = _folder["s"];
        await using (_transport.Listen($"unix:{path}"))
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
            Assert.Contains(path, Assert.Throws<LinkException>(() => _transport.Listen($"unix:{path}")).Message, StringComparison.Ordinal);
        }

        Assert.False(File.Exists(path));
    }

    /// <summary>What a killed process has left behind does not keep the next from listening.</summary>
    [Fact]
    public async Task Listen_StaleFile_IsReplaced()
    {
        var path = _folder["s"];
        using (var dead = SocketFactory.Create(AddressFamily.Unix))
        {
            dead.Bind(new UnixDomainSocketEndPoint(path));
            File.Move(path, path + "x"); // Disposal removes the name it was bound to.
        }

        File.Move(path + "x", path);
        await using var listener = _transport.Listen($"unix:{path}");
        Assert.Equal($"unix:{path}", listener.Endpoint);
    }

    [Theory, InlineData("http://x:1"), InlineData("tcp://x"), InlineData("tcp://x:66000"), InlineData("unix:relative"), InlineData("memory:")]
    public void Listen_NoEndpoint_IsRefused(string endpoint) =>
        Assert.Contains(endpoint, Assert.Throws<LinkException>(() => _transport.Listen(endpoint)).Message, StringComparison.Ordinal);

    [Fact]
    public async Task DisposeAsync_DialersWait_TheyAreRefused()
    {
        var listener = Listen("tcp");
        var connecting = _transport.ConnectAsync(listener.Endpoint, LinkPair.Identity);
        await _time.ArmedFor(LinkPair.Options.ConnectTimeout * 0.8).WaitAsync(Patience);
        var accepting = listener.AcceptAsync(LinkPair.Identity with { Epoch = 6 });
        await listener.DisposeAsync();
        await RefusedAsync(connecting, "the listener is closing");
        await Assert.ThrowsAsync<ObjectDisposedException>(() => accepting);
    }

    private ILinkListener Listen(string scheme) => _transport.Listen(LinkPair.Endpoint(scheme, _folder));

    private static async Task RefusedAsync(Task<ITensorLink> connecting, string reason)
    {
        var failure = await Assert.ThrowsAsync<LinkException>(() => connecting.WaitAsync(Patience));
        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
        Assert.Equal(LinkFailure.Refused, failure.Failure);
    }

    private static async Task<int> ReadAsync(Socket socket, byte[] buffer)
    {
        try
        {
            return await socket.ReceiveAsync(buffer).WaitAsync(Patience);
        }
        catch (SocketException)
        {
            return 0; // Reset: the listener left bytes unread.
        }
    }

    private static Socket Connect(ILinkListener listener)
    {
        var endpoint = LinkEndpoint.Parse(listener.Endpoint);
        var socket = SocketFactory.Create(endpoint.Scheme == LinkScheme.Unix ? AddressFamily.Unix : AddressFamily.InterNetwork);
        socket.Connect(endpoint.Scheme == LinkScheme.Unix ? new UnixDomainSocketEndPoint(endpoint.Name) : new IPEndPoint(IPAddress.Loopback, endpoint.Port));
        return socket;
    }
}
