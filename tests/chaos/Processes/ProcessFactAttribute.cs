using Granary.Client;

namespace Granary.Tests.Chaos.Processes;

/// <summary>A scenario of several real silo processes and a real Redis; skipped, with the reason, where there cannot be any.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class ProcessFactAttribute : FactAttribute
{
    public ProcessFactAttribute() => Skip = ProcessSupport.WhyNone;
}

/// <summary>A scenario whose silos have a network of their own each, which can be cut and delayed.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NetworkFactAttribute : FactAttribute
{
    public NetworkFactAttribute() => Skip = ProcessSupport.WhyNone ?? ProcessSupport.WhyNoNetworks;
}

/// <summary>As <see cref="NetworkFactAttribute"/>, for several cases.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NetworkTheoryAttribute : TheoryAttribute
{
    public NetworkTheoryAttribute() => Skip = ProcessSupport.WhyNone ?? ProcessSupport.WhyNoNetworks;
}

/// <summary>What this machine and this build can do.</summary>
internal static class ProcessSupport
{
    public static string? WhyNone { get; } =
        !OperatingSystem.IsLinux() ? "signals and processes are Linux' own"
        : !IsGenuine ? "silos of several processes need the genuine Microsoft.Orleans packages; this build uses the in-process stand-in"
        : WhyMissing("redis-server", "redis-cli", "dotnet");

    public static string? WhyNoNetworks { get; } =
        !Environment.IsPrivilegedProcess ? "network namespaces need root"
        : !File.Exists("/dev/net/tun") ? "there is no /dev/net/tun"
        : WhyMissing("ip");

    // Not a type of Orleans itself: the stand-in has those too.
    private static bool IsGenuine => typeof(GranaryClient).Assembly.GetReferencedAssemblies().Any(name => name.Name == "Orleans.Core.Abstractions");

    private static string? WhyMissing(params string[] programs)
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        var missing = programs.Where(name => !folders.Any(folder => File.Exists(Path.Combine(folder, name)))).ToArray();
        return missing.Length == 0 ? null : $"not on the path: {string.Join(", ", missing)}";
    }
}
