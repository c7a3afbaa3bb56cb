namespace Granary.Tests.Support;

/// <summary>Folders above the running tests, nearest first.</summary>
internal static class Ancestors
{
    public static IEnumerable<string> OfTests()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent) yield return directory.FullName;
    }
}
