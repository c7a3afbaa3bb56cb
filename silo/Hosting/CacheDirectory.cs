namespace Granary.Silo.Hosting;

/// <summary>Where imported models are kept when nothing else is said.</summary>
internal static class CacheDirectory
{
    public static string Resolve(string? configured)
    {
        if (!string.IsNullOrWhiteSpace(configured)) return Path.GetFullPath(configured);
        // The XDG specification has relative paths ignored.
        if (Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache && Path.IsPathFullyQualified(cache))
            return Path.Combine(cache, "granary");
        if (Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) is { Length: > 0 } home)
            return Path.Combine(home, ".cache", "granary");
        return Path.Combine(Path.GetTempPath(), "granary-cache");
    }
}
