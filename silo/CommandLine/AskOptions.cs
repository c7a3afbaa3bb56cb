using System.CommandLine;
using System.Globalization;

namespace Granary.Silo.CommandLine;

/// <summary>One question to answer.</summary>
/// <param name="Raw">The text goes to the model as it is, without its chat template.</param>
/// <param name="MaxTokens">Null for what the context leaves.</param>
/// <param name="Temperature">Null for the model's own.</param>
/// <param name="Seed">Null for a random one.</param>
internal sealed record Question(string Text, bool Raw, int? MaxTokens, float? Temperature, ulong? Seed, bool Json);

/// <summary>Options of <c>--ask</c>.</summary>
internal sealed class AskOptions
{
    private readonly Option<string?> _ask = new("--ask") { Description = "Answer this text on standard output and exit.", HelpName = "TEXT" };
    private readonly Option<bool> _raw = new("--raw") { Description = "With --ask: no chat template; the text is continued as it is." };
    private readonly Option<bool> _json = new("--json") { Description = "With --ask: one line of JSON instead of text." };
    private readonly Option<int?> _maxTokens = ModelOptions.Integer("--max-tokens", "With --ask: most tokens to generate.", 1, int.MaxValue);
    private readonly Option<float?> _temperature = new("--temperature") { Description = "With --ask: 0 (greedy) to 2. Default: the model's own.", HelpName = "T" };
    private readonly Option<ulong?> _seed = new("--seed") { Description = "With --ask: determines every draw.", HelpName = "N" };

    public AskOptions()
    {
        // Read in the invariant culture, whatever the machine's is.
        _temperature.CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value is >= 0 and <= 2) return value;
            result.AddError($"--temperature is '{text}'; it must be a number from 0 to 2.");
            return null;
        };
    }

    public void AddTo(Command command)
    {
        foreach (var option in (ReadOnlySpan<Option>)[_ask, _raw, _json, _maxTokens, _temperature, _seed]) command.Options.Add(option);
        command.Validators.Add(result =>
        {
            if (result.GetResult(_ask) is { Implicit: false } asked)
            {
                if (asked.Tokens is [{ Value: "" }]) result.AddError("--ask is empty; it must be text.");
                return;
            }

            foreach (var option in (ReadOnlySpan<Option>)[_raw, _json, _maxTokens, _temperature, _seed])
            {
                if (result.GetResult(option) is { Implicit: false }) result.AddError($"{option.Name} goes with --ask.");
            }
        });
    }

    public bool IsAsked(ParseResult result) => result.GetValue(_ask) is not null;

    public Question Read(ParseResult result) => new(
        result.GetValue(_ask)!, result.GetValue(_raw), result.GetValue(_maxTokens), result.GetValue(_temperature), result.GetValue(_seed), result.GetValue(_json));
}
