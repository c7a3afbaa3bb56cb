using System.Diagnostics.CodeAnalysis;

namespace Granary.Grains;

/// <summary>The place of one thing that a host owns: one load and the life that follows from it. Safe for any thread.</summary>
/// <typeparam name="T">What is loaded.</typeparam>
[SuppressMessage("Design", "CA1001", Justification = "Sources without timers hold nothing to dispose, and a late End must not throw.")]
internal abstract class HostSlot<T>
{
    private readonly CancellationTokenSource _end = new();
    private readonly TaskCompletionSource _endAsked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _retired = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<T> Loading { get; set; } = null!; // Set under the lock that makes the slot visible.

    public bool Ending => _end.IsCancellationRequested;

    public CancellationToken EndAsked => _end.Token;

    public Task EndAskedTask => _endAsked.Task;

    /// <summary>Completes when the slot is out of the table and its memory is back.</summary>
    public Task Retired => _retired.Task;

    public virtual void End()
    {
        _end.Cancel();
        _endAsked.TrySetResult();
    }

    public void Retire() => _retired.TrySetResult();
}
