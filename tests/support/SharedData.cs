using Xunit;

namespace Granary.Tests.Support;

/// <summary>Finds the folder of public test data that stands beside the project, where it does.</summary>
public static class SharedData
{
    public static string? Root { get; } =
        Ancestors.OfTests().Select(directory => System.IO.Path.Combine(directory, "shared", "data")).FirstOrDefault(Directory.Exists);

    public static string Path(params string[] parts) =>
        System.IO.Path.Combine([Root ?? throw new InvalidOperationException("shared/data is absent"), .. parts]);
}

/// <summary>A fact that needs the shared test data and is skipped with the reason where it is absent.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SharedDataFactAttribute : FactAttribute
{
    public SharedDataFactAttribute() => Skip = SharedData.Root is null ? "shared/data does not stand beside the project" : null;
}

/// <summary>A theory that needs the shared test data and is skipped with the reason where it is absent.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SharedDataTheoryAttribute : TheoryAttribute
{
    public SharedDataTheoryAttribute() => Skip = SharedData.Root is null ? "shared/data does not stand beside the project" : null;
}
