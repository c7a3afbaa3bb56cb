using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Models;

/// <summary>What a model has told its watchers, by version, and those who wait for the next. For one activation, on its turns.</summary>
/// <remarks>Versions begin at the activation's time: a watcher that knew another activation is answered at once.</remarks>
internal sealed class ModelNews(TimeProvider time)
{
    /// <summary>Watchers at a time: each router of the model is one.</summary>
    public const int MaxWatchers = 4096;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _watchers;

    public long Activation { get; } = time.GetUtcNow().Ticks;

    public long Version { get; private set; } = time.GetUtcNow().Ticks;

    /// <summary>The lives that watchers were told, none of them about to end.</summary>
    public ReplicaDescriptor[] Lives { get; private set; } = [];

    public void Publish(ReplicaDescriptor[] lives)
    {
        if (lives.AsSpan().SequenceEqual(Lives)) return;
        Lives = lives;
        Changed();
    }

    public void Changed()
    {
        Version++;
        _changed.SetResult();
        _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>Returns when there is another version than the known one, or after the heartbeat.</summary>
    /// <exception cref="ModelNotReadyException">Too many wait.</exception>
    public async Task WaitAsync(long known, CancellationToken cancellationToken)
    {
        if (Version != known) return;
        if (_watchers == MaxWatchers) throw new ModelNotReadyException($"{_watchers} watch the model; that is the most.", RetryAfter);
        _watchers++;
        try
        {
            await ((Task)_changed.Task).WaitAsync(ModelWatch.Heartbeat, time, cancellationToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            cancellationToken.ThrowIfCancellationRequested();
        }
        finally
        {
            _watchers--;
        }
    }
}
