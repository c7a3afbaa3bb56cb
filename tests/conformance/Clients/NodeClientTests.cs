using System.Text.RegularExpressions;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Clients;

/// <summary>The official Node client reads our answers: every case of the Node project is a test here.</summary>
[Collection(SiloTests.Name)]
public sealed partial class NodeClientTests(NodeRun run) : IClassFixture<NodeRun>
{
    public static TheoryData<string> Cases => [.. NodeRun.Cases];

    [NodeTheory, MemberData(nameof(Cases))]
    public void Case(string name) => Assert.True(run.ErrorOf(name) is null, run.ErrorOf(name));

    [Fact]
    public void EveryCaseThatRan_IsATest()
    {
        Assert.NotEmpty(NodeRun.Cases);
        Assert.Equal(NodeRun.Cases.Distinct(), NodeRun.Cases);
        Assert.Empty(run.Ran.Except(NodeRun.Cases));
    }

    /// <summary>Whatever registry is configured serves the packages: the lock names none.</summary>
    [Fact]
    public void TheLock_PinsVersionsAndDigests_AndNoHost()
    {
        var text = File.ReadAllText(Path.Combine(NodeProject.Sources, "package-lock.json"));

        Assert.DoesNotContain("resolved", text, StringComparison.Ordinal);
        Assert.DoesNotContain("://", text, StringComparison.Ordinal);
        Assert.Equal(Package().Count(text), Digest().Count(text));
        Assert.NotEqual(0, Package().Count(text));
    }

    [GeneratedRegex("\"node_modules/[^\"]+\": \\{")]
    private static partial Regex Package();

    [GeneratedRegex("\"integrity\": \"sha512-")]
    private static partial Regex Digest();
}
