using Granary.Engine.Scheduling;

namespace Granary.Engine;

internal enum CommandKind
{
    Submit,
    Cancel,
    Expire,

    /// <summary>Keep a prefix, or let go of one.</summary>
    Pin,

    /// <summary>A reader has caught up; nothing to do but look again.</summary>
    Resume,
}

/// <param name="Subject">The <see cref="Sequence"/>, or the <see cref="PinCommand"/>.</param>
internal readonly record struct Command(CommandKind Kind, object Subject);

/// <summary>What callers want of an engine's thread, in order of arrival, and what wakes it.</summary>
/// <remarks>Submissions are bounded by their sender; of the others there are a few per sequence at most.</remarks>
internal sealed class CommandQueue
{
    private readonly object _gate = new();
    private List<Command> _posted = [];
    private List<Command> _taken = [];
    private bool _closed;
    private bool _woken;

    /// <returns><see langword="false"/> when the queue is closed and the command will not be seen.</returns>
    public bool TryPost(Command command)
    {
        lock (_gate)
        {
            if (_closed) return false;
            _posted.Add(command);
            Monitor.Pulse(_gate);
            return true;
        }
    }

    /// <summary>Takes what was posted; valid until the next call.</summary>
    public List<Command> Take()
    {
        lock (_gate)
        {
            (_posted, _taken) = (_taken, _posted);
            _posted.Clear();
            return _taken;
        }
    }

    /// <summary>Blocks until something is posted, the queue is closed, or somebody wakes it.</summary>
    public void Wait()
    {
        lock (_gate)
        {
            while (_posted.Count == 0 && !_closed && !_woken) Monitor.Wait(_gate);
            _woken = false;
        }
    }

    /// <summary>Ends a wait, this one or the next, though there is no command.</summary>
    public void Wake()
    {
        lock (_gate)
        {
            _woken = true;
            Monitor.Pulse(_gate);
        }
    }

    public bool IsClosed
    {
        get
        {
            lock (_gate) return _closed;
        }
    }

    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
            Monitor.Pulse(_gate);
        }
    }
}
