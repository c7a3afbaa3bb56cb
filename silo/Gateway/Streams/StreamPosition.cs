using System.Buffers.Text;
using System.Globalization;

namespace Granary.Silo.Gateway.Streams;

/// <summary>How far a client is with one choice: what it has, and nothing of what follows.</summary>
/// <remarks>
/// It counts tokens and not frames, because another gateway may cut frames otherwise. Written as nothing where the choice has not begun, else as a
/// number of tokens, with <c>t</c> where all of its text is there, and <c>e</c> where its end is.
/// </remarks>
internal readonly record struct StreamPosition : IComparable<StreamPosition>
{
    /// <summary>Of the longest number and its letter.</summary>
    public const int MaxBytes = 11;

    private const int Phases = 4;
    private const int TextPhase = 1;
    private const int EndPhase = 2;

    // One more than four times the tokens and the phase, so that nothing is 0.
    private readonly long _rank;

    private StreamPosition(int tokens, int phase) => _rank = 1 + ((long)tokens * Phases) + phase;

    /// <summary>The choice has not begun.</summary>
    public static StreamPosition None => default;

    /// <summary>The choice has been opened.</summary>
    public static StreamPosition Opened => new(0, 0);

    public bool HasBegun => _rank > 0;

    /// <summary>0 where the choice has not begun.</summary>
    public int Tokens => _rank == 0 ? 0 : (int)((_rank - 1) / Phases);

    private int Phase => _rank == 0 ? 0 : (int)((_rank - 1) % Phases);

    /// <summary>Behind the frame of a token, which may be the last one with text.</summary>
    public static StreamPosition Behind(int tokens, bool isLast = false) => new(tokens, isLast ? TextPhase : 0);

    /// <summary>Behind the end of the choice.</summary>
    public static StreamPosition Ended(int tokens) => new(tokens, EndPhase);

    public static bool TryParse(ReadOnlySpan<char> text, out StreamPosition position)
    {
        position = None;
        if (text.IsEmpty) return true;
        var phase = text[^1] switch { 't' => TextPhase, 'e' => EndPhase, _ => 0 };
        if (!int.TryParse(phase == 0 ? text : text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var tokens)) return false;
        position = new(tokens, phase);
        return true;
    }

    /// <returns>Bytes written, at most <see cref="MaxBytes"/>.</returns>
    public int Write(Span<byte> output)
    {
        if (!HasBegun) return 0;
        Utf8Formatter.TryFormat(Tokens, output, out var written);
        if (Phase != 0) output[written++] = Phase == TextPhase ? (byte)'t' : (byte)'e';
        return written;
    }

    public int CompareTo(StreamPosition other) => _rank.CompareTo(other._rank);

    public override string ToString()
    {
        Span<byte> text = stackalloc byte[MaxBytes];
        return System.Text.Encoding.ASCII.GetString(text[..Write(text)]);
    }
}
