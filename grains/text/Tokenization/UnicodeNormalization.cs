using System.Collections.Frozen;
using System.Globalization;
using System.Reflection;
using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>The four Unicode normalization forms, by the algorithm of UAX #15.</summary>
/// <remarks>
/// The platform's own normalization does nothing where globalization is invariant, as it is here, so the tables come
/// with us: one line per code point, <c>code;combining class;decomposition</c>, where <c>~</c> marks a compatibility
/// decomposition and <c>!</c> one that is never composed back.
/// </remarks>
internal static class UnicodeNormalization
{
    private const int SBase = 0xAC00, LBase = 0x1100, VBase = 0x1161, TBase = 0x11A7;
    private const int LCount = 19, VCount = 21, TCount = 28, SCount = LCount * VCount * TCount;

    private static readonly Lazy<Tables> Loaded = new(Tables.Load);

    public static string Normalize(string text, bool compatibility, bool compose)
    {
        // Below U+00A0 nothing decomposes; below U+0300 nothing changes in NFC.
        var limit = compose && !compatibility ? '\u0300' : '\u00A0';
        if (!text.AsSpan().ContainsAnyInRange(limit, '\uFFFF')) return text;

        var tables = Loaded.Value;
        if (!tables.MayChange(text, compatibility, compose)) return text;
        var runes = new List<int>(text.Length + 16);
        foreach (var rune in text.EnumerateRunes()) Decompose(tables, rune.Value, compatibility, runes);
        Order(tables, runes);
        if (compose) Compose(tables, runes);

        var result = new StringBuilder(text.Length);
        foreach (var rune in runes) result.Append(new Rune(rune));
        return result.ToString();
    }

    private static void Decompose(Tables tables, int rune, bool compatibility, List<int> output)
    {
        if (rune < 0xA0)
        {
            output.Add(rune);
        }
        else if (rune is >= SBase and < SBase + SCount)
        {
            var index = rune - SBase;
            output.Add(LBase + (index / (VCount * TCount)));
            output.Add(VBase + (index % (VCount * TCount) / TCount));
            if (index % TCount != 0) output.Add(TBase + (index % TCount));
        }
        else if (tables.Decompositions.TryGetValue(rune, out var entry) && (compatibility || !entry.Compatibility))
        {
            foreach (var part in entry.Parts) Decompose(tables, part, compatibility, output);
        }
        else
        {
            output.Add(rune);
        }
    }

    /// <summary>Sorts each run of combining marks by class, stably: hostile runs are long, so not by insertion.</summary>
    private static void Order(Tables tables, List<int> runes)
    {
        for (var start = 0; start < runes.Count; start++)
        {
            if (tables.ClassOf(runes[start]) == 0) continue;
            var end = start + 1;
            while (end < runes.Count && tables.ClassOf(runes[end]) != 0) end++;
            if (end - start > 1)
            {
                var run = runes.GetRange(start, end - start).OrderBy(tables.ClassOf).ToArray();
                for (var index = 0; index < run.Length; index++) runes[start + index] = run[index];
            }

            start = end - 1;
        }
    }

    private static void Compose(Tables tables, List<int> runes)
    {
        int starter = -1, lastClass = 0, write = 0;
        foreach (var rune in runes.ToArray())
        {
            var combining = tables.ClassOf(rune);
            var blocked = starter != write - 1 && (lastClass == 0 || lastClass >= combining);
            if (starter >= 0 && !blocked && TryPair(tables, runes[starter], rune, out var composed))
            {
                runes[starter] = composed;
                continue;
            }

            if (combining == 0) starter = write;
            lastClass = combining;
            runes[write++] = rune;
        }

        runes.RemoveRange(write, runes.Count - write);
    }

    private static bool TryPair(Tables tables, int first, int second, out int composed)
    {
        if (first is >= LBase and < LBase + LCount && second is >= VBase and < VBase + VCount)
        {
            composed = SBase + ((((first - LBase) * VCount) + (second - VBase)) * TCount);
            return true;
        }

        if (first is >= SBase and < SBase + SCount && (first - SBase) % TCount == 0 && second is > TBase and < TBase + TCount)
        {
            composed = first + (second - TBase);
            return true;
        }

        return tables.Compositions.TryGetValue(((long)first << 32) | (uint)second, out composed);
    }

    private sealed record Decomposition(int[] Parts, bool Compatibility);

    private sealed record Tables(
        FrozenDictionary<int, Decomposition> Decompositions, FrozenDictionary<int, byte> Classes, FrozenDictionary<long, int> Compositions)
    {
        public byte ClassOf(int rune) => rune < 0x300 ? (byte)0 : Classes.GetValueOrDefault(rune);

        private readonly HashSet<int>?[] _active = new HashSet<int>?[4];

        /// <summary>The quick check of UAX #15: false where no code point has a class, changes alone, or composes with the one before it.</summary>
        public bool MayChange(string text, bool compatibility, bool compose)
        {
            var active = _active[(compatibility ? 2 : 0) + (compose ? 1 : 0)] ??= FindActive(compatibility, compose);
            foreach (var rune in text.EnumerateRunes())
            {
                var value = rune.Value;
                if (value < 0xA0) continue;
                if (active.Contains(value) || (!compose && value is >= SBase and < SBase + SCount)) return true;
            }

            return false;
        }

        private HashSet<int> FindActive(bool compatibility, bool compose)
        {
            var active = new HashSet<int>(Classes.Keys);
            foreach (var code in Decompositions.Keys)
            {
                var alone = new List<int>();
                Decompose(this, code, compatibility, alone);
                if (compose) Compose(this, alone);
                if (alone is not [var same] || same != code) active.Add(code);
            }

            if (!compose) return active;
            foreach (var pair in Compositions.Keys) active.Add((int)pair);
            for (var vowel = 0; vowel < VCount; vowel++) active.Add(VBase + vowel);
            for (var trail = 1; trail < TCount; trail++) active.Add(TBase + trail);
            return active;
        }

        public static Tables Load()
        {
            var decompositions = new Dictionary<int, Decomposition>();
            var classes = new Dictionary<int, byte>();
            var compositions = new Dictionary<long, int>();
            var name = $"{typeof(UnicodeNormalization).Namespace}.UnicodeNormalization.txt";
            using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)
                ?? throw new InvalidOperationException($"The resource {name} is missing from the assembly.");
            using var reader = new StreamReader(stream);
            while (reader.ReadLine() is { } line)
            {
                if (line.StartsWith('#')) continue;
                var fields = line.Split(';');
                var rune = Hex(fields[0]);
                if (fields[1].Length > 0) classes[rune] = byte.Parse(fields[1], CultureInfo.InvariantCulture);
                if (fields[2].Length == 0) continue;

                var mark = fields[2][0];
                var parts = fields[2].TrimStart('~', '!').Split(' ').Select(Hex).ToArray();
                decompositions[rune] = new Decomposition(parts, mark == '~');
                if (mark is not ('~' or '!')) compositions[((long)parts[0] << 32) | (uint)parts[1]] = rune;
            }

            return new Tables(decompositions.ToFrozenDictionary(), classes.ToFrozenDictionary(), compositions.ToFrozenDictionary());
        }

        private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}
