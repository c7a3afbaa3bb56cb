namespace Granary.Tests.Architecture;

/// <summary>Which project may refer to which: the table of the README, kept by force.</summary>
public sealed class DependencyTests
{
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Granary.GrainInterfaces"] = [],
        ["Granary.Engine"] = [],
        ["Granary.Text"] = [],
        ["Granary.Engine.Onnx"] = ["Granary.Engine"],
        ["Granary.Sharding"] = ["Granary.Engine"],
        ["Granary.Routing"] = ["Granary.GrainInterfaces"],
        ["Granary.Grains"] = ["Granary.GrainInterfaces", "Granary.Engine", "Granary.Routing"],
        ["Granary.Client"] = ["Granary.GrainInterfaces", "Granary.Text"],
        ["Granary.Client.Cli"] = ["Granary.Client", "Granary.Text"],
        ["Granary.Silo"] = ["Granary.GrainInterfaces", "Granary.Engine", "Granary.Engine.Onnx", "Granary.Sharding", "Granary.Text", "Granary.Grains", "Granary.Client"],
    };

    public static TheoryData<string> ProductProjects() => [.. Allowed.Keys];

    [Theory, MemberData(nameof(ProductProjects))]
    public void ProductProject_RefersOnlyToWhatTheTableAllows(string project) =>
        Assert.Empty(Repository.ProjectReferences[project].Except(Allowed[project]));

    [Fact]
    public void EveryProductProject_IsInTheTable() =>
        Assert.Empty(Repository.ProjectReferences.Keys
            .Where(name => !name.StartsWith("Granary.Tests.", StringComparison.Ordinal) && !name.EndsWith(".StandIn", StringComparison.Ordinal))
            .Except(Allowed.Keys));

    /// <summary>The build swaps stand-ins in by itself; a project that named one would keep it on a full feed.</summary>
    [Fact]
    public void NoProject_NamesAStandIn() =>
        Assert.DoesNotContain(
            Repository.ProjectReferences.SelectMany(project => project.Value), name => name.EndsWith(".StandIn", StringComparison.Ordinal));

    [Fact]
    public void EveryProject_IsInTheSolution()
    {
        var solution = File.ReadAllText(Path.Combine(Repository.Root, "Cluster.sln"));
        Assert.All(Repository.ProjectReferences.Keys, project => Assert.Contains($"{project}.csproj", solution, StringComparison.Ordinal));
    }

    /// <summary>Engine code is told the time and never asks for it, so that a simulation can tell it another.</summary>
    [Theory]
    [InlineData("grains/engine/", "DateTime.Now", "DateTime.UtcNow", "DateTimeOffset.UtcNow", "Stopwatch.", "Random.Shared", "Environment.TickCount")]
    [InlineData("grains/routing/", "DateTime.Now", "DateTime.UtcNow", "DateTimeOffset.UtcNow", "Stopwatch.", "Random.Shared", "Environment.TickCount")]
    [InlineData("grains/orleans/", "DateTime.Now", "DateTime.UtcNow", "DateTimeOffset.UtcNow", "Stopwatch.", "Random.Shared", "Environment.TickCount", "Thread.Sleep")]
    [InlineData("client/", "DateTime.Now", "DateTime.UtcNow", "DateTimeOffset.UtcNow", "Stopwatch.", "Random.Shared", "Environment.TickCount", "Thread.Sleep")]
    public void ProductCode_TakesTimeAndRandomnessFromOutside(string folder, params string[] banned)
    {
        var found = from path in Repository.Files("*.cs")
                    where Repository.Relative(path).StartsWith(folder, StringComparison.Ordinal)
                    from line in File.ReadLines(path).Select((text, index) => (text, index))
                    from word in banned
                    where line.text.Contains(word, StringComparison.Ordinal) && !line.text.TrimStart().StartsWith("//", StringComparison.Ordinal)
                    select $"{Repository.Relative(path)}:{line.index + 1}: {word}";
        Assert.Empty(found);
    }
}
