using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Client;

/// <summary>Waits for a call that says nothing before its answer, and asks the life meanwhile whether it still works.</summary>
internal sealed class LifeProbe(SurvivalOptions options, TimeProvider time)
{
    /// <summary>The call's answer or error.</summary>
    /// <param name="call">It is left to itself where the life is lost.</param>
    /// <exception cref="ReplicaFailedException">The life is not there any more, or its steps stand still.</exception>
    /// <exception cref="TimeoutException">It does not say how it is.</exception>
    public async Task<T> WaitAsync<T>(IReplicaGrain replica, ReplicaLife life, Task<T> call, CancellationToken cancellationToken)
    {
        var (steps, advanced) = (-1L, time.GetTimestamp());
        while (!await IsOverAsync(call, cancellationToken))
        {
            var load = await LoadAsync(replica, life, cancellationToken);
            var isIdle = load.RunningSequences + load.WaitingSequences == 0;
            if (load.Steps != steps || isIdle) (steps, advanced) = (load.Steps, time.GetTimestamp());
            if (time.GetElapsedTime(advanced) > options.AnswerLimit + options.StallLimitOf(load.LongestStepSeconds))
                throw new ReplicaFailedException($"Replica '{life.ReplicaId}', epoch {life.Epoch}, stands still after {load.Steps} steps.");
        }

        return await call;
    }

    private async Task<bool> IsOverAsync(Task call, CancellationToken cancellationToken)
    {
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        await Task.WhenAny(call, Task.Delay(options.AnswerLimit, time, waiting.Token));
        await waiting.CancelAsync(); // The pause's timer.
        return call.IsCompleted || cancellationToken.IsCancellationRequested;
    }

    private async Task<ReplicaLoad> LoadAsync(IReplicaGrain replica, ReplicaLife life, CancellationToken cancellationToken)
    {
        try
        {
            var load = await replica.GetLoadAsync(cancellationToken).WaitAsync(options.AnswerLimit, time, cancellationToken);
            if (load.Epoch == life.Epoch) return load;
        }
        catch (ModelNotReadyException)
        {
            // Nor is this life there.
        }

        throw new ReplicaFailedException($"Replica '{life.ReplicaId}' is not in epoch {life.Epoch} any more.");
    }
}
