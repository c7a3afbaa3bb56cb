using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Microsoft.Extensions.Options;
using Orleans;

namespace Granary.Grains.Models;

/// <summary>Remembers which models have announced themselves, each for as long as a few of their announcements may be lost.</summary>
internal sealed class ModelIndexGrain(IOptions<ModelGrainOptions> options, TimeProvider time) : Grain, IModelIndexGrain
{
    /// <summary>Models of a cluster.</summary>
    public const int MaxModels = 4096;

    /// <summary>Announcements in a row that may be lost.</summary>
    private const int Lives = 3;

    private readonly Dictionary<string, (ModelCard Card, DateTimeOffset Ends)> _entries = new(StringComparer.Ordinal);

    public Task AnnounceAsync(ModelCard card, CancellationToken cancellationToken = default)
    {
        ForgetExpired();
        if (_entries.Count >= MaxModels && !_entries.ContainsKey(card.Name))
            throw new RequestRefusedException($"The cluster serves {_entries.Count} models; the index holds at most {MaxModels}.", "model");
        _entries[card.Name] = (card, time.GetUtcNow() + (options.Value.WatchPeriod * Lives));
        return Task.CompletedTask;
    }

    public Task WithdrawAsync(string model, CancellationToken cancellationToken = default)
    {
        _entries.Remove(model);
        return Task.CompletedTask;
    }

    public Task<ModelCard[]> ListAsync(CancellationToken cancellationToken = default)
    {
        ForgetExpired();
        return Task.FromResult(_entries.Values.Select(entry => entry.Card).OrderBy(card => card.Name, StringComparer.Ordinal).ToArray());
    }

    private void ForgetExpired()
    {
        var now = time.GetUtcNow();
        foreach (var name in _entries.Where(entry => entry.Value.Ends <= now).Select(entry => entry.Key).ToList()) _entries.Remove(name);
    }
}
