namespace Granary.Text.Templates;

/// <summary>What one template may cost. A template comes with a model, so it is not trusted.</summary>
internal static class TemplateLimits
{
    /// <summary>Largest template source, in chars; the largest published ones have about 30 000.</summary>
    public const int MaxSourceLength = 1 << 20;

    /// <summary>Most evaluation steps of one rendering; work on long strings and lists counts by length.</summary>
    public const long MaxSteps = 20_000_000;

    /// <summary>Longest one rendering may take; steps bound it well before on any machine that is not overloaded.</summary>
    public static readonly TimeSpan MaxTime = TimeSpan.FromSeconds(10);

    /// <summary>Longest output, and longest string on the way, in chars.</summary>
    public const int MaxOutputLength = 16 * 1024 * 1024;

    /// <summary>Deepest nesting of macro calls and of values.</summary>
    public const int MaxDepth = 100;

    /// <summary>Deepest nesting of blocks and expressions, in levels of the parser's and interpreter's recursion.</summary>
    public const int MaxSyntaxDepth = 500;

    /// <summary>Most items of <c>range</c> and of any list or dictionary, those inside it counted.</summary>
    public const int MaxItems = 1_000_000;
}
