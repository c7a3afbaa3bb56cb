using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.Grains.Placement;

namespace Granary.Grains.Models;

/// <summary>What is wanted: the union of the silos' shares, or what was asked of the cluster as a whole.</summary>
internal sealed partial class ModelGrain
{
    private DeploymentSpec SpecOf(ModelReplica replica) => _shares[replica.Share ?? ""];

    /// <summary>Takes over what is wanted now.</summary>
    /// <returns>Replicas that are not wanted any more. The last come first.</returns>
    private List<ModelReplica> Want(DeploymentSpec spec)
    {
        var share = spec.Offer ?? "";
        if (spec.Offer is null) _shares.Clear();
        if (spec.Replicas == 0) _shares.Remove(share);
        else _shares[share] = spec;

        var surplus = Forget(replica => !_shares.TryGetValue(replica.Share ?? "", out var wanted) || replica.Index >= wanted.Replicas);
        for (var index = _replicas.Count(replica => replica.Share == spec.Offer); index < spec.Replicas; index++)
        {
            var name = spec.Offer is null ? $"{Model}/{index}" : GrainKeys.Replica(spec.Workers[index % spec.Workers.Length], Model, index);
            _replicas.Add(new ModelReplica(spec.Offer, index, name, new RetryClock(options.Value, time)));
        }

        return surplus;
    }

    private List<ModelReplica> Forget(Predicate<ModelReplica> isSurplus)
    {
        var surplus = _replicas.FindAll(isSurplus);
        foreach (var replica in surplus)
        {
            replica.IsRetired = true;
            _replicas.Remove(replica);
        }

        surplus.Reverse();
        return surplus;
    }

    /// <summary>A silo that has left took its share with it: its workers were its own.</summary>
    private void ForgetAbsent(ActiveSilos active)
    {
        foreach (var offer in _shares.Keys.Where(offer => offer.Length > 0 && !active.Contains(offer)).ToList())
        {
            _shares.Remove(offer);
            foreach (var replica in Forget(replica => replica.Share == offer)) LogShareLeft(replica.Name, offer);
        }
    }

    /// <exception cref="RequestRefusedException">No active silo has that name: it could not be seen leaving.</exception>
    private async Task RequireMemberAsync(string offer)
    {
        if (ActiveSilos.Of(membership.CurrentSnapshot).Contains(offer)) return;
        await membership.Refresh(); // It may have joined just now.
        if (!ActiveSilos.Of(membership.CurrentSnapshot).Contains(offer))
            throw new RequestRefusedException($"offer is '{offer}', and no silo of that name is active.", "offer");
    }
}
