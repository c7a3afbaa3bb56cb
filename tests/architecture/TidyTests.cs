using System.Text.RegularExpressions;

namespace Granary.Tests.Architecture;

/// <summary>House rules that a reviewer would otherwise have to remember.</summary>
public sealed partial class TidyTests
{
    private const int MaxLinesOfAFile = 450;

    [Fact]
    public void SourceFiles_HoldOneIdea_AndStayShort() =>
        Assert.Empty(from path in Repository.Files("*.cs")
                     let lines = File.ReadLines(path).Count()
                     where lines > MaxLinesOfAFile
                     select $"{Repository.Relative(path)}: {lines} lines, at most {MaxLinesOfAFile}");

    [Fact]
    public void SourceFiles_LeaveNothingForLater() => Assert.Empty(LinesWith(Leftover()));

    /// <summary>Else who completes one runs what waits for it, on its own thread and in the middle of its own work.</summary>
    [Fact]
    public void CompletionSources_LeaveWhatWaitsToAnotherThread() => Assert.Empty(LinesWith(CompletionSource()));

    /// <summary>A README that names a type or file that is gone tells a newcomer something false.</summary>
    [Fact]
    public void Readmes_NameOnlyTypesAndFilesThatExist()
    {
        var sources = string.Join('\n', Repository.Files("*.cs").Select(File.ReadAllText));
        var types = TypeName().Matches(sources).Select(match => match.Groups[1].Value).ToHashSet();
        Assert.Empty(from path in Repository.Files("*.md")
                     where !Repository.Relative(path).StartsWith("standins/", StringComparison.Ordinal) // They name genuine types.
                     from Match match in Backticked().Matches(File.ReadAllText(path))
                     let name = match.Groups[1].Value
                     where name.StartsWith("Granary", StringComparison.Ordinal) || OwnSuffix().IsMatch(name)
                     where !types.Contains(name) && !Repository.ProjectReferences.ContainsKey(name)
                     select $"{Repository.Relative(path)}: `{name}`");
    }

    [Fact]
    public void Readmes_LinkOnlyToWhatExists() =>
        Assert.Empty(from path in Repository.Files("*.md")
                     from Match match in Link().Matches(File.ReadAllText(path))
                     let target = match.Groups[1].Value
                     where !target.Contains("://", StringComparison.Ordinal)
                     let full = Path.Combine(Path.GetDirectoryName(path)!, target)
                     where !File.Exists(full) && !Directory.Exists(full)
                     select $"{Repository.Relative(path)}: {target}");

    private static IEnumerable<string> LinesWith(Regex pattern) =>
        from path in Repository.Files("*.cs")
        from line in File.ReadLines(path).Select((text, index) => (text, index))
        where pattern.IsMatch(line.text)
        select $"{Repository.Relative(path)}:{line.index + 1}: {line.text.Trim()}";

    [GeneratedRegex(@"new TaskCompletionSource(<[^(]*>)?\(\)|(?<!, )TaskCompletionSource(<[^(=]*>)?\??(\[\])? \w+ = new\(\)")]
    private static partial Regex CompletionSource();

    [GeneratedRegex(@"\b(TO" + @"DO|FIX" + @"ME|HA" + @"CK|NotImplemented" + @"Exception)\b")]
    private static partial Regex Leftover();

    [GeneratedRegex(@"\b(?:class|record|struct|interface|enum|record struct)\s+([A-Z]\w+)")]
    private static partial Regex TypeName();

    [GeneratedRegex(@"`([A-Z]\w+)`")]
    private static partial Regex Backticked();

    [GeneratedRegex(@"(Grain|Engine|Executor|Scheduler|Pool|Sampler|Options|Tokenizer|Template|Importer|Cache|Host|Catalog|Exception|Request|Client)$")]
    private static partial Regex OwnSuffix();

    [GeneratedRegex(@"\]\(([^)#\s]+)(?:#[^)]*)?\)")]
    private static partial Regex Link();
}
