using System.Buffers;
using System.Text;

namespace Granary.Silo.Gateway.Streams;

/// <summary>Names the events of one stream, and holds back those that the client has already.</summary>
/// <remarks>Not safe for threads: a sink writes one event at a time.</remarks>
internal sealed class EventIds
{
    private readonly byte[] _head;
    private readonly StreamPosition[] _positions;
    private readonly StreamRecorder _journal;
    private readonly bool _areWritten;
    private StreamStage _stage;

    /// <param name="from">What the client has.</param>
    /// <param name="choices">How many the stream has.</param>
    /// <param name="journal">Of the stream: a name that a client has seen leads somewhere.</param>
    /// <param name="areWritten">False for a client that would not know what to do with them.</param>
    /// <exception cref="ApiException">The client speaks of other choices than the stream has.</exception>
    public EventIds(LastEvent from, int choices, StreamRecorder journal, bool areWritten = true)
    {
        if (from.Positions is { } given && given.Length != choices)
            throw ApiException.Invalid(LastEvent.Header, $"{LastEvent.Header} has {given.Length} positions; the stream has {choices} choices.");
        _head = Encoding.ASCII.GetBytes($"id: {from.Stream}/");
        _positions = from.Positions is null ? new StreamPosition[choices] : [.. from.Positions];
        _stage = from.Stage;
        (_journal, _areWritten) = (journal, areWritten);
    }

    public StreamPosition this[int choice] => _positions[choice];

    /// <summary>Waits, before the first event, until events can have names; not for long.</summary>
    public ValueTask WhenReadyAsync(CancellationToken cancellationToken) => _journal.WhenBegunAsync(cancellationToken);

    /// <summary>Goes on behind the next frame of a choice.</summary>
    /// <returns>False where the client has it.</returns>
    public bool Advance(int choice, StreamPosition position)
    {
        if (position.CompareTo(_positions[choice]) <= 0) return false;
        _positions[choice] = position;
        return true;
    }

    /// <summary>Goes on behind what follows the choices.</summary>
    /// <returns>False where the client has it.</returns>
    public bool Advance(StreamStage stage)
    {
        if (stage <= _stage) return false;
        _stage = stage;
        return true;
    }

    /// <exception cref="ApiException">The client claims to have more than the choice is.</exception>
    public void RequireWithin(int choice, StreamPosition end)
    {
        if (_positions[choice].CompareTo(end) > 0)
            throw ApiException.Invalid(LastEvent.Header, $"{LastEvent.Header} has position {_positions[choice]} for choice {choice}, which ends at {end}.");
    }

    /// <summary>Writes the line of the event that was advanced to.</summary>
    public void Write(IBufferWriter<byte> output)
    {
        if (!_areWritten || !_journal.HasBegun) return;
        var line = output.GetSpan(_head.Length + (_positions.Length * (StreamPosition.MaxBytes + 1)) + 4);
        _head.CopyTo(line);
        var length = _head.Length;
        for (var i = 0; i < _positions.Length; i++)
        {
            if (i > 0) line[length++] = (byte)',';
            length += _positions[i].Write(line[length..]);
        }

        if (_stage != StreamStage.Choices)
        {
            line[length++] = (byte)'/';
            line[length++] = _stage == StreamStage.Usage ? (byte)'u' : (byte)'d';
        }

        line[length++] = (byte)'\n';
        output.Advance(length);
    }
}
