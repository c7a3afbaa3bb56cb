using Granary.Client;

namespace Granary.Tests.Client.Support;

/// <summary>Reads enumerations of updates.</summary>
internal static class Updates
{
    /// <summary>Armed waits end here: far above what they take, so that a hang is told as one.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static ChatRequest Ask(string text = "Hello", GenerationSettings? settings = null, string? model = null) =>
        new() { Model = model, Messages = [new("user", text)], Settings = settings ?? new() };

    public static async Task<List<GenerationUpdate>> ReadAsync(this IAsyncEnumerable<GenerationUpdate> updates)
    {
        var all = new List<GenerationUpdate>();
        await foreach (var update in updates) all.Add(update);
        return all;
    }

    /// <summary>What came before the error, and the error.</summary>
    public static async Task<(List<GenerationUpdate> Updates, TException Error)> ReadToErrorAsync<TException>(this IAsyncEnumerable<GenerationUpdate> updates)
        where TException : Exception
    {
        var all = new List<GenerationUpdate>();
        var error = await Assert.ThrowsAnyAsync<TException>(async () =>
        {
            await foreach (var update in updates) all.Add(update);
        }).WaitAsync(Patience);
        return (all, error);
    }

    public static string Text(this IEnumerable<GenerationUpdate> updates, int choice = 0) =>
        string.Concat(updates.Where(update => update.Choice == choice).Select(update => update.Text));
}
