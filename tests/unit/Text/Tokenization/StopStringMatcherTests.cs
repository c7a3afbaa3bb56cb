using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

public sealed class StopStringMatcherTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 20)];

    /// <summary>Whatever the cuts, the text before the stop that ends first comes out, and held back is no more than could begin a stop.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyCuts_EqualTheNaiveSearch(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 200; round++)
        {
            var stops = Enumerable.Range(0, random.Next(1, 5)).Select(_ => Letters(random, random.Next(1, 6))).ToArray();
            var text = Letters(random, random.Next(0, 40));
            var (expected, expectedStop) = Naive(text, stops);

            var matcher = new StopStringMatcher(stops);
            var output = "";
            var stopped = false;
            for (var position = 0; position < text.Length;)
            {
                var length = Math.Min(random.Next(1, 6), text.Length - position);
                output += matcher.Append(text.Substring(position, length), out stopped);
                position += length;
                if (!stopped) Assert.True(position - output.Length < stops.Max(stop => stop.Length));
            }

            if (!stopped) output += matcher.Flush();
            Assert.Equal((expected, expectedStop), (output, stopped));
        }
    }

    [Fact]
    public void Constructor_EmptyStop_IsRefused() => Assert.Throws<ArgumentException>(() => new StopStringMatcher(["a", ""]));

    private static (string Text, bool Stopped) Naive(string text, string[] stops)
    {
        for (var end = 1; end <= text.Length; end++)
        {
            var hit = stops.Where(stop => text[..end].EndsWith(stop, StringComparison.Ordinal)).OrderByDescending(stop => stop.Length).FirstOrDefault();
            if (hit is not null) return (text[..(end - hit.Length)], true);
        }

        return (text, false);
    }

    private static string Letters(Random random, int length) => string.Concat(Enumerable.Range(0, length).Select(_ => "abc"[random.Next(3)]));
}
