namespace Granary.Grains;

/// <summary>Waits for tasks that are of no use without each other.</summary>
internal static class FirstFailure
{
    /// <summary>Waits for all; the first that fails cancels the others and is what is thrown, after all have ended.</summary>
    /// <param name="others">Cancels the tasks.</param>
    public static async Task WhenAllAsync(IReadOnlyCollection<Task> tasks, CancellationTokenSource others)
    {
        Task? failed = null;
        await foreach (var task in Task.WhenEach(tasks).ConfigureAwait(false))
        {
            if (task.IsCompletedSuccessfully || failed is not null) continue;
            failed = task;
            await others.CancelAsync().ConfigureAwait(false);
        }

        if (failed is not null) await failed.ConfigureAwait(false);
    }
}
