using Granary.Sharding.Links;

namespace Granary.Tests.Support;

/// <summary>A transport whose open links can be cut, frozen, delayed and corrupted from the test, below everything the links themselves do.</summary>
/// <remarks>A fault is laid on the ends that this transport has opened, dialed or accepted, and that the test picks by identity.</remarks>
public sealed class FaultyTransport : ILinkTransport
{
    private readonly LinkTransport _inner;
    private readonly TimeProvider _time;
    private readonly List<FaultyWire> _wires = [];

    public FaultyTransport(LinkOptions options, TimeProvider time)
    {
        _time = time;
        _inner = new(options, time) { Interposer = Interpose };
    }

    /// <summary>Links that are not over.</summary>
    public int OpenLinks => _inner.OpenLinks;

    public ILinkListener Listen(string endpoint) => _inner.Listen(endpoint);

    public Task<ITensorLink> ConnectAsync(string endpoint, LinkIdentity identity, CancellationToken cancellationToken = default) =>
        _inner.ConnectAsync(endpoint, identity, cancellationToken);

    /// <summary>As if the connection broke: both ends see it closed.</summary>
    /// <returns>How many ends it was laid on, here and in the methods below.</returns>
    public int Cut(Func<LinkIdentity, bool> which) => Lay(which, wire => wire.Abort());

    /// <summary>As if this end's process were stopped: it says nothing and hears nothing, pulses included, until thawed or given up by the peer.</summary>
    public int Freeze(Func<LinkIdentity, bool> which) => Lay(which, wire => wire.Frozen = true);

    public int Thaw(Func<LinkIdentity, bool> which) => Lay(which, wire => wire.Frozen = false);

    /// <summary>Holds each frame back for so long before it is written; zero for no longer.</summary>
    public int Delay(Func<LinkIdentity, bool> which, TimeSpan delay) => Lay(which, wire => wire.DelayOfFrames = delay);

    /// <summary>Flips one bit of the next frame that is written and is no pulse.</summary>
    /// <param name="offset">Of the byte, counted from the header's first; taken modulo the frame's bytes.</param>
    public int CorruptNextFrame(Func<LinkIdentity, bool> which, int offset, int bit = 0) => Lay(which, wire => wire.Corrupt(offset, bit));

    private int Lay(Func<LinkIdentity, bool> which, Action<FaultyWire> fault)
    {
        List<FaultyWire> picked;
        lock (_wires) picked = _wires.FindAll(wire => which(wire.Identity));
        picked.ForEach(fault);
        return picked.Count;
    }

    private FaultyWire Interpose(ByteDuplex inner, LinkIdentity identity)
    {
        var wire = new FaultyWire(inner, identity, _time, Forget);
        lock (_wires) _wires.Add(wire);
        return wire;
    }

    private void Forget(FaultyWire wire)
    {
        lock (_wires) _wires.Remove(wire);
    }
}
