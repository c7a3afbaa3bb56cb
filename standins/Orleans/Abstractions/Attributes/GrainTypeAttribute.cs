namespace Orleans;

/// <summary>The wire name of a grain class.</summary>
[AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
public sealed class GrainTypeAttribute : Attribute
{
    public GrainTypeAttribute(string grainType) => Name = grainType;

    internal string Name { get; }
}
