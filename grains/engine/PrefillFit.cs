namespace Granary.Engine;

/// <summary>What a prompt token costs, and what each token before it adds: a line through the measured steps, of which the last weigh most.</summary>
/// <remarks>
/// Least squares of seconds = a · tokens + b · context, where context is the sum over the step's prompt tokens of the tokens before each; neither
/// may be negative. With few samples, or such as cannot tell the two apart, a is the plain mean and b is 0. A sample weighs 31/32 of the one after
/// it: chunks of prompts differ more than decode steps do, and a fit of two needs more of them.
/// </remarks>
internal sealed class PrefillFit
{
    private const double Kept = 31.0 / 32;
    private const int LeastSamples = 8;

    /// <summary>Below this share of what independent measures would have, tokens and context grow alike and cannot be told apart.</summary>
    private const double LeastIndependence = 1e-3;

    private double _tokensTokens;
    private double _tokensContext;
    private double _contextContext;
    private double _tokensSeconds;
    private double _contextSeconds;
    private int _samples;

    public double SecondsPerToken { get; private set; }

    public double SecondsPerContext { get; private set; }

    /// <param name="tokens">Prompt tokens of a step, at least 1.</param>
    /// <param name="context">Sum of the tokens before each.</param>
    /// <param name="seconds">What they cost, above 0.</param>
    public void Record(int tokens, double context, double seconds)
    {
        _tokensTokens = Kept * _tokensTokens + (double)tokens * tokens;
        _tokensContext = Kept * _tokensContext + tokens * context;
        _contextContext = Kept * _contextContext + context * context;
        _tokensSeconds = Kept * _tokensSeconds + tokens * seconds;
        _contextSeconds = Kept * _contextSeconds + context * seconds;
        _samples = Math.Min(_samples + 1, LeastSamples);
        (SecondsPerToken, SecondsPerContext) = Fit();
    }

    private (double Token, double Context) Fit()
    {
        var mean = _tokensSeconds / _tokensTokens;
        var independence = _tokensTokens * _contextContext - _tokensContext * _tokensContext;
        if (_samples < LeastSamples || independence <= LeastIndependence * _tokensTokens * _contextContext) return (mean, 0);

        var token = (_tokensSeconds * _contextContext - _contextSeconds * _tokensContext) / independence;
        var context = (_contextSeconds * _tokensTokens - _tokensSeconds * _tokensContext) / independence;
        return context <= 0 ? (mean, 0) : token < 0 ? (0, _contextSeconds / _contextContext) : (token, context);
    }
}
