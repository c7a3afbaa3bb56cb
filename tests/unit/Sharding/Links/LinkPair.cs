using System.Security.Cryptography;
using Granary.Engine.Partitioning;
using Granary.Sharding.Links;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Sharding.Links;

/// <summary>Both ends of one link, over the transport a test names; each end has a transport of its own, as two silos have.</summary>
internal sealed class LinkPair : IAsyncDisposable
{
    private readonly TemporaryFolder _folder;
    private readonly ILinkListener _listener;

    private LinkPair(TemporaryFolder folder, ILinkListener listener, FaultyTransport dialing, FaultyTransport accepting, ITensorLink dialer, ITensorLink acceptor)
    {
        (_folder, _listener, Dialing, Accepting, Dialer, Acceptor) = (folder, listener, dialing, accepting, dialer, acceptor);
    }

    public static TheoryData<string> Schemes => ["memory", "unix", "tcp"];

    public static LinkIdentity Identity { get; } = new("toy@1/0", 7, new ShardPlace(0, 0), new ShardPlace(1, 0), LinkPurpose.Activations);

    public FaultyTransport Dialing { get; }

    public FaultyTransport Accepting { get; }

    public ITensorLink Dialer { get; }

    public ITensorLink Acceptor { get; }

    /// <summary>Patient with a machine that runs many tests at once; what is about silence runs on a clock of its own.</summary>
    public static LinkOptions Options { get; } = new() { ClusterSecret = RandomNumberGenerator.GetBytes(32), SilenceLimit = TimeSpan.FromSeconds(20) };

    public static async Task<LinkPair> OpenAsync(string scheme, LinkOptions? options = null, TimeProvider? time = null)
    {
        var folder = new TemporaryFolder();
        var dialing = new FaultyTransport(options ?? Options, time ?? TimeProvider.System);
        var accepting = new FaultyTransport(options ?? Options, time ?? TimeProvider.System);
        var listener = accepting.Listen(Endpoint(scheme, folder));
        var accepted = listener.AcceptAsync(Identity);
        var dialer = await dialing.ConnectAsync(listener.Endpoint, Identity);
        return new(folder, listener, dialing, accepting, dialer, await accepted);
    }

    /// <summary>Something to listen on that no other test uses.</summary>
    public static string Endpoint(string scheme, TemporaryFolder folder) => scheme switch
    {
        "memory" => $"memory:{Guid.NewGuid():N}",
        "unix" => $"unix:{folder["s"]}",
        _ => "tcp://127.0.0.1:0",
    };

    public async ValueTask DisposeAsync()
    {
        Dialer.Dispose();
        Acceptor.Dispose();
        await _listener.DisposeAsync();
        _folder.Dispose();
    }
}
