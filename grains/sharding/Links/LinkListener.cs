using System.Net.Sockets;

namespace Granary.Sharding.Links;

/// <summary>Lets in who proves itself and names a link that is waited for; who is early waits at the door.</summary>
/// <remarks>
/// Strangers can take at most <see cref="MaxStrangers"/> connections, each for at most <see cref="LinkOptions.ConnectTimeout"/>; more wait in the system's
/// backlog. A dialer of an older life than the one waited for is refused at once, any other that nobody asks for when its time is up.
/// </remarks>
internal sealed class LinkListener : ILinkListener
{
    /// <summary>Connections that have not proven themselves yet.</summary>
    public const int MaxStrangers = 32;

    /// <summary>Dialers that have, and wait for their link to be asked for.</summary>
    public const int MaxWaiting = 1024;

    private readonly ByteListener _listener;
    private readonly LinkOptions _options;
    private readonly TimeProvider _time;
    private readonly Func<ByteDuplex, ByteDuplex> _secure;
    private readonly Func<ByteDuplex, LinkIdentity, ITensorLink> _open;
    private readonly CancellationTokenSource _closing = new();
    private readonly SemaphoreSlim _strangers = new(MaxStrangers);
    private readonly Task _accepting;
    private readonly object _gate = new(); // Guards the two below.
    private readonly List<LinkKnock> _knocks = [];
    private readonly List<(LinkIdentity Identity, TaskCompletionSource<LinkKnock> Came)> _awaited = [];

    /// <param name="secure">Puts TLS around a connection, where it is asked for.</param>
    /// <param name="open">Makes a link of a connection that was let in.</param>
    public LinkListener(
        ByteListener listener, LinkOptions options, TimeProvider time, Func<ByteDuplex, ByteDuplex> secure, Func<ByteDuplex, LinkIdentity, ITensorLink> open)
    {
        _listener = listener;
        _options = options;
        _time = time;
        _secure = secure;
        _open = open;
        _accepting = Task.Run(AcceptConnectionsAsync);
    }

    public string Endpoint => _listener.Endpoint.ToString();

    public async Task<ITensorLink> AcceptAsync(LinkIdentity identity, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            var came = new TaskCompletionSource<LinkKnock>(TaskCreationOptions.RunContinuationsAsynchronously);
            using var cancelled = cancellationToken.Register(() => came.TrySetCanceled(cancellationToken));
            Await(identity, came);
            try
            {
                var knock = await came.Task.ConfigureAwait(false);
                if (knock.LetIn()) return _open(knock.Wire, identity);
                knock.Wire.Dispose(); // It left; its next attempt may come.
            }
            finally
            {
                lock (_gate) _awaited.RemoveAll(awaited => awaited.Came == came);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        for (var i = 0; i < MaxStrangers; i++) await _strangers.WaitAsync().ConfigureAwait(false); // All handshakes are over.
        lock (_gate)
        {
            foreach (var knock in _knocks) knock.Refuse("the listener is closing");
            _knocks.Clear();
            foreach (var (_, came) in _awaited) came.TrySetException(new ObjectDisposedException(nameof(ILinkListener), $"{Endpoint} is no longer listened on."));
        }

        _closing.Dispose();
        _strangers.Dispose();
    }

    private void Await(LinkIdentity identity, TaskCompletionSource<LinkKnock> came)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing.IsCancellationRequested, this);
            foreach (var late in _knocks.FindAll(knock => IsOlderLife(knock.Identity, identity))) Remove(late)?.Refuse(OlderLife(late.Identity, identity));
            if (_awaited.Exists(awaited => awaited.Identity == identity)) throw new InvalidOperationException($"{LinkMessages.Name(identity)} is awaited already.");
            if (_knocks.Find(knock => knock.Identity == identity) is { } here && came.TrySetResult(here)) _knocks.Remove(here);
            else _awaited.Add((identity, came));
        }
    }

    private async Task AcceptConnectionsAsync()
    {
        while (true)
        {
            try
            {
                await _strangers.WaitAsync(_closing.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            ByteDuplex? wire = null;
            try
            {
                wire = await _listener.AcceptAsync(_closing.Token).ConfigureAwait(false);
                // A thread of its own: handshakes block, and the pool's threads are others'.
                new Thread(() => Meet(wire)) { IsBackground = true, Name = "tensor link handshake" }.Start();
            }
            catch (Exception error) when (error is SocketException or OperationCanceledException or ObjectDisposedException or System.Threading.Channels.ChannelClosedException)
            {
                _strangers.Release();
                if (_closing.IsCancellationRequested) return;
            }
        }
    }

    private void Meet(ByteDuplex connection)
    {
        LinkKnock? knock = null;
        var wire = connection;
        try
        {
            using var timeout = new CancellationTokenSource(_options.ConnectTimeout, _time);
            using var ended = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _closing.Token);
            using (ended.Token.Register(connection.Abort))
            {
                wire = _secure(connection);
                knock = LinkHandshake.Listen(wire, _options);
            }
        }
        catch (Exception error) when (error is LinkException or System.Security.Authentication.AuthenticationException or IOException)
        {
            // Not one of the cluster: TLS did not come about.
        }
        finally
        {
            if (knock is null) wire.Dispose();
            else Knock(knock);
            _strangers.Release();
        }
    }

    private void Knock(LinkKnock knock)
    {
        string? refusal = null;
        lock (_gate)
        {
            foreach (var (identity, came) in _awaited)
            {
                if (identity == knock.Identity && came.TrySetResult(knock)) return;
                if (IsOlderLife(knock.Identity, identity)) refusal = OlderLife(knock.Identity, identity);
            }

            if (_knocks.Count >= MaxWaiting) refusal = $"{MaxWaiting} dialers wait here already";
            if (_knocks.Exists(other => other.Identity == knock.Identity)) refusal = "another dialer of this link waits here already";
            if (refusal is null) _knocks.Add(knock);
        }

        if (refusal is not null) knock.Refuse(refusal);
        else _ = SendAwayAsync(knock);
    }

    /// <summary>Refuses a dialer that nobody asked for in time, while it still listens for the reason.</summary>
    private async Task SendAwayAsync(LinkKnock knock)
    {
        try
        {
            await Task.Delay(_options.ConnectTimeout * 0.8, _time, _closing.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return; // Disposal refuses all.
        }

        string expected;
        lock (_gate)
        {
            if (Remove(knock) is null) return;
            expected = _awaited.Count == 0 ? "none" : string.Join("; ", _awaited.Take(4).Select(awaited => LinkMessages.Name(awaited.Identity)));
        }

        knock.Refuse($"nobody asked for it here within {_options.ConnectTimeout.TotalSeconds:0.#} s; expected here: {expected}");
    }

    private LinkKnock? Remove(LinkKnock knock) => _knocks.Remove(knock) ? knock : null;

    private static bool IsOlderLife(LinkIdentity dialed, LinkIdentity awaited) => dialed.Epoch < awaited.Epoch && dialed.ReplicaId == awaited.ReplicaId;

    private static string OlderLife(LinkIdentity dialed, LinkIdentity awaited) =>
        $"epoch {dialed.Epoch} is over, expected {awaited.Epoch}";
}
