namespace Granary.Sharding.Steps;

/// <summary>How many steps are under way at a time. Both ends reckon it from the number of stages, and keep memory for as many.</summary>
internal static class StepWindow
{
    /// <summary>One for each stage: more would only wait, and spread the sequences over smaller steps.</summary>
    public static int Of(int stages) => stages;
}
