using System.Text;

namespace Granary.Client.Cli.Load;

/// <summary>One request's text and lengths.</summary>
/// <param name="OutputTokens">Most tokens to generate.</param>
internal readonly record struct Prompt(string Text, int OutputTokens);

/// <summary>Makes prompts of random words: request i is the same for the same seed, in whatever order requests are made.</summary>
/// <remarks>
/// The words are short and common, about one token each in a vocabulary of tens of thousands; how many tokens they were
/// is what the server reports. Warm-up has prefixes of its own, so that the measured requests find only what they share.
/// </remarks>
internal sealed class PromptSource(LoadSettings settings)
{
    private const string Words =
        "the of and to in that was his he it with is for as had you not be her on at by which have or from this him but all she they were my are me one their " +
        "so an said them we who would been will no when there if more out up into do any your what has man could other than our some very time upon about may " +
        "its only now like little then can should made did us such great before must two these see know over much down after first good men own never most old " +
        "shall day where those came come himself way work life without go make well through being long say might how am too even again many back here think every " +
        "people went same last thought away under take found hand eyes still place while just also young yet though against things get ever give years off face " +
        "house world three new look right found white head night part water asked days home left name side room seemed mind heart told small father moment light " +
        "king state called far mother end both once set half power war land town words sea air line feet best high law door love body form child true";

    private static readonly string[] Vocabulary = Words.Split(' ');

    public Prompt Create(int index, bool warmup)
    {
        var random = Draws(warmup ? Stream.Warmup : Stream.Request, index);
        var (promptTokens, outputTokens) = settings.Trace is { } trace
            ? trace[index % trace.Count]
            : (settings.PromptTokens.Draw(random), settings.OutputTokens.Draw(random));
        var text = new StringBuilder((promptTokens + settings.PrefixTokens) * 5);
        if (settings.PrefixGroups > 0)
        {
            var group = random.Next(settings.PrefixGroups);
            Append(text, Draws(warmup ? Stream.WarmupPrefix : Stream.Prefix, group), settings.PrefixTokens);
        }

        Append(text, random, promptTokens);
        return new Prompt(text.ToString(), outputTokens);
    }

    private static void Append(StringBuilder text, Random random, int words)
    {
        for (var i = 0; i < words; i++)
        {
            if (text.Length > 0) text.Append(' ');
            text.Append(Vocabulary[random.Next(Vocabulary.Length)]);
        }
    }

    /// <summary>Draws of their own for each purpose and index (SplitMix64's finalizer keeps neighbours apart).</summary>
    private Random Draws(Stream stream, int index)
    {
        unchecked
        {
            var mixed = (((ulong)(uint)settings.Seed << 32) | (uint)index) + ((ulong)stream * 0x9E3779B97F4A7C15);
            mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
            mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
            return new Random((int)(mixed ^ (mixed >> 31)));
        }
    }

    private enum Stream
    {
        Request = 1,
        Prefix,
        Warmup,
        WarmupPrefix,
    }
}
