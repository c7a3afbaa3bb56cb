namespace Granary.Sharding.Links;

/// <summary>Bytes to and from a peer, in order: a socket, a TLS stream over one, or memory.</summary>
/// <remarks>
/// One thread reads and one writes at a time. A write never waits for this end's reader: what comes in meanwhile is set aside, or two ends that write
/// more than the system's buffers hold would wait for each other for ever. What is set aside is bounded by the credits of the link above.
/// </remarks>
internal abstract class ByteDuplex : IDisposable
{
    /// <summary>When the peer was heard last, as a timestamp of the transport's clock.</summary>
    public abstract long LastHeard { get; }

    /// <summary>What ended it, where the system said more than that it is over.</summary>
    public abstract string? Error { get; }

    /// <summary>Whether a few hundred bytes can be written without waiting.</summary>
    public abstract bool CanWriteNow { get; }

    /// <summary>Whether bytes of the peer, or its end, are there and not yet looked at.</summary>
    public abstract bool HasInput { get; }

    /// <summary>Waits for bytes.</summary>
    /// <returns>How many, at least one; 0 where it is over.</returns>
    public abstract int Read(Span<byte> destination);

    /// <summary>Writes all bytes, one piece after the other.</summary>
    /// <returns><see langword="false"/> where it is over.</returns>
    public abstract bool Write(ReadOnlySpan<byte> header, ReadOnlySpan<byte> first = default, ReadOnlySpan<byte> second = default);

    /// <summary>Looks, without waiting, for what has come while nobody reads, so that a peer's pulses are heard and its end is seen.</summary>
    /// <returns><see langword="true"/> once the peer's end is seen: from then on no read waits.</returns>
    public abstract bool Listen();

    /// <summary>Writes nothing any more; who waits in a write returns at once.</summary>
    public abstract void EndWriting();

    /// <summary>Ends it from any thread; who waits here returns at once.</summary>
    public abstract void Abort();

    public abstract void Dispose();

    /// <returns>What is missing of the destination is not there: it is over.</returns>
    public bool ReadExactly(Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            var count = Read(destination);
            if (count == 0) return false;
            destination = destination[count..];
        }

        return true;
    }
}
