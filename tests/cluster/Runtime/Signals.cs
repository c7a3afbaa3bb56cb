using System.Collections.Concurrent;

namespace Granary.Tests.Cluster.Runtime;

/// <summary>Named events that test grains and tests, which share the process, tell each other. Nothing here sleeps.</summary>
public static class Signals
{
    private static readonly ConcurrentDictionary<string, TaskCompletionSource> Events = new();
    private static readonly ConcurrentDictionary<string, int> Counts = new();

    /// <summary>How long a test waits for what has to happen.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public static void Set(string name) => Event(name).TrySetResult();

    public static Task Wait(string name, CancellationToken cancellationToken = default) => Event(name).Task.WaitAsync(Patience, cancellationToken);

    public static bool IsSet(string name) => Event(name).Task.IsCompleted;

    public static int Count(string name) => Counts.AddOrUpdate(name, 1, static (_, count) => count + 1);

    public static int CountOf(string name) => Counts.GetValueOrDefault(name);

    private static TaskCompletionSource Event(string name) => Events.GetOrAdd(name, static _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
}
