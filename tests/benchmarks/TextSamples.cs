using System.Text;
using Granary.Tests.Support;

namespace Granary.Tests.Benchmarks;

/// <summary>Texts to tokenize.</summary>
internal static class TextSamples
{
    /// <summary>Prose: the descriptions of a published API where they are at hand, else the documents of the project; repeated to length.</summary>
    public static string English(int length)
    {
        var sources = SharedData.Root is null
            ? Directory.EnumerateFiles(Path.Combine(EmbeddedModel.Folder, "..", "..", ".."), "*.md", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            : (IEnumerable<string>)[SharedData.Path("openai", "openapi.yaml")];
        var text = new StringBuilder();
        foreach (var line in sources.SelectMany(File.ReadLines))
        {
            var prose = line.Trim();
            if (prose.Count(c => c == ' ') >= 6) text.Append(prose).Append('\n');
        }

        for (var once = text.ToString(); text.Length < length;) text.Append(once);
        return text.ToString(0, length);
    }

    /// <summary>Words of letters in English proportion, hardly one of them twice.</summary>
    public static string NewWords(int length, int seed)
    {
        const string Letters = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuucccmmmwwfffggyyppbbvkxjqz";
        var random = new Random(seed);
        var text = new StringBuilder(length);
        while (text.Length < length)
        {
            for (var letters = random.Next(6, 12); letters > 0; letters--) text.Append(Letters[random.Next(Letters.Length)]);
            text.Append(' ');
        }

        return text.ToString(0, length);
    }

    public static IEnumerable<(string Kind, string Text)> Hostile(int length)
    {
        yield return ("one letter", new string('a', length));
        yield return ("one space", new string(' ', length));
        yield return ("one line end", new string('\n', length));
        yield return ("one digit", new string('7', length));
        yield return ("one sign", new string('!', length));
        yield return ("one CJK character", new string('東', length));
        yield return ("one emoji", string.Concat(Enumerable.Repeat("😀", length / 2)));
        yield return ("random letters", Random(length, 'a', 26));
        yield return ("random CJK", Random(length, '一', 20_000));
        yield return ("almost a special token", string.Concat(Enumerable.Repeat("<|endoftext", length / 11)));
    }

    private static string Random(int length, char first, int count)
    {
        var random = new Random(1);
        return string.Create(length, (first, count, random), static (span, state) =>
        {
            for (var index = 0; index < span.Length; index++) span[index] = (char)(state.first + state.random.Next(state.count));
        });
    }
}
