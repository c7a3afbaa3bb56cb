using Granary.Tests.Support;

namespace Granary.Tests.Client.Sample;

/// <summary>What the SDK's README shows is what compiles.</summary>
public sealed class ReadmeTests
{
    private const int Indent = 8;

    [Fact]
    public void FirstBlock_IsTheSample()
    {
        Assert.NotNull((Func<Task>)ReadmeSample.RunAsync);
        var readme = File.ReadAllText(Path.Combine(SourceTree.Root, "client", "README.md")).ReplaceLineEndings("\n");
        var block = readme.Split("```csharp\n", 2)[1].Split("\n```", 2)[0];

        var source = File.ReadAllLines(Path.Combine(SourceTree.Root, "tests", "client", "Sample", "ReadmeSample.cs"));
        var body = source.SkipWhile(line => !line.Contains("RunAsync", StringComparison.Ordinal)).Skip(2).TakeWhile(line => line != "    }")
            .Select(line => line.Length == 0 ? line : line[Indent..]).ToList();

        Assert.Equal(string.Join('\n', body), block);
        Assert.InRange(body.Count(line => line.Length > 0), 1, 10);
    }
}
