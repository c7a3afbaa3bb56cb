using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>Watches a growing text for stop strings and holds back only what could still become one.</summary>
/// <remarks>
/// An automaton over all stops (Aho–Corasick): each char is looked at once. The stop that ends first wins, and of those
/// that end together the one that begins first; the text before it is returned, the stop and all after it never.
/// For one sequence and one thread.
/// </remarks>
public sealed class StopStringMatcher
{
    /// <summary>Most chars all stops may have together.</summary>
    public const int MaxTotalLength = 16 * 1024;

    private readonly List<Node> _nodes = [new Node()];
    private readonly StringBuilder _held = new();
    private int _state;

    /// <exception cref="ArgumentException">A stop is empty, or they are longer than <see cref="MaxTotalLength"/> together.</exception>
    public StopStringMatcher(IReadOnlyList<string> stops)
    {
        ArgumentNullException.ThrowIfNull(stops);
        var total = 0L;
        foreach (var stop in stops)
        {
            if (string.IsNullOrEmpty(stop)) throw new ArgumentException("A stop string is empty.", nameof(stops));
            total += stop.Length;
            if (total > MaxTotalLength) throw new ArgumentException($"The stop strings have more than {MaxTotalLength} chars together.", nameof(stops));
            Insert(stop);
        }

        Link();
    }

    /// <summary>Whether a stop was found; from then on every delta gives the empty string.</summary>
    public bool Stopped => Stop is not null;

    /// <summary>The stop that was found; null until then.</summary>
    public string? Stop { get; private set; }

    /// <summary>Takes more text and returns what is certain not to belong to a stop.</summary>
    public string Append(string delta, out bool stopped)
    {
        ArgumentNullException.ThrowIfNull(delta);
        if (Stopped)
        {
            stopped = true;
            return "";
        }

        foreach (var c in delta)
        {
            _held.Append(c);
            _state = Step(_state, c);
            if (_nodes[_state].Match is > 0 and var length)
            {
                stopped = true;
                Stop = _held.ToString(_held.Length - length, length);
                var before = _held.ToString(0, _held.Length - length);
                _held.Clear();
                return before;
            }
        }

        stopped = false;
        var certain = _held.Length - _nodes[_state].Depth;
        if (certain == 0) return "";
        var text = _held.ToString(0, certain);
        _held.Remove(0, certain);
        return text;
    }

    /// <summary>Ends the text: what was held back was no stop after all.</summary>
    public string Flush()
    {
        var text = _held.ToString();
        _held.Clear();
        _state = 0;
        return text;
    }

    private int Step(int state, char c)
    {
        int next;
        while (!_nodes[state].Next.TryGetValue(c, out next))
        {
            if (state == 0) return 0;
            state = _nodes[state].Fallback;
        }

        return next;
    }

    private void Insert(string stop)
    {
        var state = 0;
        foreach (var c in stop)
        {
            if (!_nodes[state].Next.TryGetValue(c, out var next))
            {
                next = _nodes.Count;
                _nodes.Add(new Node { Depth = _nodes[state].Depth + 1 });
                _nodes[state].Next[c] = next;
            }

            state = next;
        }

        _nodes[state].Match = stop.Length;
    }

    private void Link()
    {
        var queue = new Queue<int>(_nodes[0].Next.Values);
        while (queue.TryDequeue(out var state))
        {
            foreach (var (c, next) in _nodes[state].Next)
            {
                var fallback = Step(_nodes[state].Fallback, c);
                _nodes[next].Fallback = fallback;
                if (_nodes[next].Match == 0) _nodes[next].Match = _nodes[fallback].Match;
                queue.Enqueue(next);
            }
        }
    }

    private sealed class Node
    {
        public Dictionary<char, int> Next { get; } = [];
        public int Depth { get; init; }
        public int Fallback { get; set; }

        /// <summary>Length of the longest stop that ends here, 0 where none does.</summary>
        public int Match { get; set; }
    }
}
