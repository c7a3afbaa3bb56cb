using System.Globalization;
using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>One step of the text's preparation before it is cut into words.</summary>
internal abstract class Normalizer
{
    public abstract string Apply(string text);

    public static Normalizer? Read(TokenizerJson? source)
    {
        if (source is not { } json) return null;
        return json.Type switch
        {
            "Sequence" => new Chain([.. json.Items("normalizers").Select(item => Read(item)!)]),
            "Prepend" => new Prepend(json.String("prepend")),
            "Replace" => new Replace(TokenizerPattern.Read(json.Required("pattern")), json.String("content")),
            "NFC" => new UnicodeForm(compatibility: false, compose: true),
            "NFD" => new UnicodeForm(compatibility: false, compose: false),
            "NFKC" => new UnicodeForm(compatibility: true, compose: true),
            "NFKD" => new UnicodeForm(compatibility: true, compose: false),
            "Lowercase" => new Lowercase(),
            "Strip" => new Strip(json.Flag("strip_left", true), json.Flag("strip_right", true)),
            "StripAccents" => new StripAccents(),
            var other => throw json.Bad($"has the normalizer type '{other}', which is not supported"),
        };
    }

    private sealed class Chain(Normalizer[] steps) : Normalizer
    {
        public override string Apply(string text)
        {
            foreach (var step in steps) text = step.Apply(text);
            return text;
        }
    }

    private sealed class Prepend(string prefix) : Normalizer
    {
        public override string Apply(string text) => text.Length == 0 ? text : prefix + text;
    }

    private sealed class Replace(TokenizerPattern pattern, string content) : Normalizer
    {
        public override string Apply(string text) => pattern.Replace(text, content);
    }

    private sealed class UnicodeForm(bool compatibility, bool compose) : Normalizer
    {
        public override string Apply(string text) => UnicodeNormalization.Normalize(text, compatibility, compose);
    }

    private sealed class Lowercase : Normalizer
    {
        /// <summary>The dotted capital I is the one character whose small letter takes two.</summary>
        public override string Apply(string text) => text.Replace("\u0130", "i\u0307", StringComparison.Ordinal).ToLowerInvariant();
    }

    private sealed class Strip(bool left, bool right) : Normalizer
    {
        public override string Apply(string text)
        {
            if (left) text = text.TrimStart();
            return right ? text.TrimEnd() : text;
        }
    }

    private sealed class StripAccents : Normalizer
    {
        public override string Apply(string text)
        {
            var result = new StringBuilder(text.Length);
            foreach (var rune in text.EnumerateRunes())
            {
                if (Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark)) result.Append(rune);
            }

            return result.ToString();
        }
    }
}
