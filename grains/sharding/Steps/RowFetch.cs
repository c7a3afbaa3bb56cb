using System.Runtime.InteropServices;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>What one rank is asked for of a step, in as few frames as their bounds allow, and where its answers go.</summary>
/// <remarks>
/// Each frame of requests is answered by one frame, in order. Both are cut by <see cref="EndOfFrame"/>, so nothing else need be kept of a frame.
/// Requests are added and sent by the engine's thread. While there are unanswered ones only the rank's reader touches it, but for <see cref="IsAnswered"/>.
/// </remarks>
/// <param name="maxFrameBytes">Of the rank's link.</param>
internal sealed class RowFetch(int maxFrameBytes)
{
    private readonly int _maxRequests = Math.Clamp(maxFrameBytes / RowRequest.Bytes, 1, RowRequest.MaxRequests);
    private readonly int _maxColumns = Math.Clamp(maxFrameBytes / sizeof(float), 1, RowRequest.MaxColumns);
    private readonly List<(RowRequest Request, Memory<float> Target)> _parts = [];
    private byte[] _payload = [];
    private int _sent;
    private int _answered;

    public bool IsAnswered => _answered == _parts.Count;

    /// <summary>Bytes of the next answer; 0 where none is to come.</summary>
    public int AnswerBytes
    {
        get
        {
            var columns = 0;
            for (var part = _answered; part < EndOfFrame(_answered); part++) columns += _parts[part].Request.Count;
            return columns * sizeof(float);
        }
    }

    /// <summary>Asks for one thing more, in pieces where it is more than a frame answers.</summary>
    /// <param name="target">[<see cref="RowRequest.Count"/>].</param>
    public void Add(RowRequest request, Memory<float> target)
    {
        for (var done = 0; done < request.Count; done += _maxColumns)
        {
            var count = Math.Min(_maxColumns, request.Count - done);
            _parts.Add((request with { First = request.First + done, Count = count }, target.Slice(done, count)));
        }
    }

    /// <summary>The payload of the next frame to send.</summary>
    /// <param name="payload">Valid until the next call.</param>
    /// <returns><see langword="false"/> when all are sent.</returns>
    public bool TryNext(out ReadOnlySpan<byte> payload)
    {
        var end = EndOfFrame(_sent);
        var length = (end - _sent) * RowRequest.Bytes;
        if (_payload.Length < length) _payload = new byte[_maxRequests * RowRequest.Bytes];
        payload = _payload.AsSpan(0, length);
        for (var at = 0; _sent < end; at += RowRequest.Bytes) _parts[_sent++].Request.Write(_payload.AsSpan(at));
        return length > 0;
    }

    /// <summary>Reads an answer, announced by a frame of <see cref="AnswerBytes"/>, to its places.</summary>
    /// <exception cref="LinkException">The link is over.</exception>
    public void Read(ITensorLink link)
    {
        for (var part = _answered; part < EndOfFrame(_answered); part++) link.ReadPayload(MemoryMarshal.AsBytes(_parts[part].Target.Span));
    }

    /// <summary>Counts the answer that was read.</summary>
    public void Complete() => _answered = EndOfFrame(_answered);

    public void Clear()
    {
        _parts.Clear();
        (_sent, _answered) = (0, 0);
    }

    /// <returns>Behind the last part of the frame that begins with this one.</returns>
    private int EndOfFrame(int first)
    {
        var columns = 0;
        var end = first;
        while (end < _parts.Count && end - first < _maxRequests && _parts[end].Request.Count <= _maxColumns - columns) columns += _parts[end++].Request.Count;
        return end;
    }
}
