namespace Orleans;

/// <summary>The wire name of a grain class.</summary>
[AttributeUsage(AttributeTargets.Class, AllowMultiple = false)]
public sealed class GrainTypeAttribute : Attribute
{
    public GrainTypeAttribute(string name) => Name = name;

    internal string Name { get; }
}
