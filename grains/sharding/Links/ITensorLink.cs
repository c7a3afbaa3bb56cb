namespace Granary.Sharding.Links;

/// <summary>One end of a link between two shards: frames in order, each whole, checked and of the link's own life.</summary>
/// <remarks>
/// Calls block. One thread sends and one receives at a time; they may be two. Every wait ends: by what was waited for, or by
/// <see cref="LinkException"/> once the peer is gone, silent for longer than <see cref="LinkOptions.SilenceLimit"/>, or sends what is not a valid frame.
/// After the first error both ends are over. Peers keep each other from silence by pulses of their own, whatever their callers do.
/// </remarks>
public interface ITensorLink : IDisposable
{
    LinkIdentity Identity { get; }

    /// <summary>See <see cref="LinkOptions.MaxFrameBytes"/>.</summary>
    int MaxFrameBytes { get; }

    /// <summary>Frames and bytes so far, both ways.</summary>
    LinkCounters Counters { get; }

    /// <summary>Completes when the link is over, with the reason; null where this end was disposed. Never faults.</summary>
    Task<LinkException?> Ended { get; }

    /// <summary>Sends a frame whose payload is one piece after the other; the memory is the caller's again on return. Waits for a credit of the peer.</summary>
    /// <exception cref="LinkException">The link is over.</exception>
    void Send(FrameKind kind, long step, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second = default);

    /// <summary>Waits for the next frame. Its payload must be read by <see cref="ReadPayload"/> before the next call, if it has one.</summary>
    /// <exception cref="LinkException">The link is over.</exception>
    FrameHeader Receive();

    /// <summary>Reads the next bytes of the frame received last into the caller's memory; with the last of them the checksum is verified and the credit goes back.</summary>
    /// <exception cref="LinkException">The link is over, or the payload is not what was sent.</exception>
    void ReadPayload(Span<byte> destination);

    /// <summary>Ends the link from any thread; who waits on either end gets the reason.</summary>
    void Abort(string reason);
}

/// <summary>What a frame carries.</summary>
public enum FrameKind
{
    /// <summary>A step's plan, engine to shard.</summary>
    Plan = 1,

    /// <summary>What a shard of the last stage computed, shard to engine.</summary>
    Result = 2,

    /// <summary>Columns of rows of logits that a summary did not suffice for, engine to shard.</summary>
    RowsWanted = 3,

    /// <summary>Those columns, shard to engine.</summary>
    Rows = 4,

    /// <summary>The residual stream of a step, stage to stage.</summary>
    Activations = 5,

    /// <summary>Partial sums, or sums of a slice, rank to rank.</summary>
    Partial = 6,

    /// <summary>Why a shard's life is over, shard to engine; the last frame of a link.</summary>
    Failure = 7,
}

/// <summary>A frame as announced, before its payload.</summary>
/// <param name="Kind">What it carries.</param>
/// <param name="Step">The engine's step it belongs to.</param>
/// <param name="Length">Bytes of payload.</param>
public readonly record struct FrameHeader(FrameKind Kind, long Step, int Length);

/// <summary>What has gone over a link.</summary>
public readonly record struct LinkCounters(long FramesSent, long BytesSent, long FramesReceived, long BytesReceived);

/// <summary>A link is over: its peer lost, late, of another life, or not speaking the protocol.</summary>
/// <param name="failure">What happened.</param>
/// <param name="message">Names the link, what was expected, what was there, and the bound.</param>
public sealed class LinkException(LinkFailure failure, string message, Exception? inner = null) : Exception(message, inner)
{
    public LinkFailure Failure => failure;
}

/// <summary>Why a link is over.</summary>
public enum LinkFailure
{
    /// <summary>The peer closed it, or its process or host is gone.</summary>
    Closed,

    /// <summary>Nothing came within the limit, not even a pulse.</summary>
    Silent,

    /// <summary>A frame is malformed, too long, or fails its checksum.</summary>
    Corrupt,

    /// <summary>The peer is not who it should be: cluster secret, replica, epoch, place or protocol version.</summary>
    Refused,

    /// <summary>Ended by <see cref="ITensorLink.Abort"/>, here or there.</summary>
    Aborted,
}
