using Granary.GrainInterfaces.Models;

namespace Granary.Grains.Models;

/// <summary>Requests that ended replicas, each for a while. Of too many the oldest go first.</summary>
internal sealed class QuarantineList(TimeProvider time)
{
    /// <summary>Most requests: more in ten minutes is a fault of the replicas, not of requests.</summary>
    public const int Capacity = 1024;

    private const int MaxReason = 500;

    private readonly Dictionary<ulong, LinkedListNode<(ulong Fingerprint, string Reason, DateTimeOffset Ends)>> _byFingerprint = [];
    private readonly LinkedList<(ulong Fingerprint, string Reason, DateTimeOffset Ends)> _byEnd = new(); // Soonest first, as far as all stay equally long.

    /// <returns>False where it was in the list already; it then stays as it is.</returns>
    public bool Add(ulong fingerprint, string reason, TimeSpan remaining)
    {
        Expire();
        if (remaining <= TimeSpan.Zero || _byFingerprint.ContainsKey(fingerprint)) return false;
        if (_byEnd.Count == Capacity) Remove(_byEnd.First!);
        if (reason.Length > MaxReason) reason = reason[..MaxReason];
        _byFingerprint.Add(fingerprint, _byEnd.AddLast((fingerprint, reason, time.GetUtcNow() + remaining)));
        return true;
    }

    /// <returns>Why it is refused and for how long still; null where it is not.</returns>
    public QuarantinedRequest? Find(ulong fingerprint) =>
        _byFingerprint.TryGetValue(fingerprint, out var entry) && ToContract(entry.Value) is { Remaining: var remaining } found && remaining > TimeSpan.Zero ? found : null;

    public QuarantinedRequest[] ToArray()
    {
        Expire();
        return [.. _byEnd.Select(ToContract)];
    }

    private void Expire()
    {
        var now = time.GetUtcNow();
        while (_byEnd.First is { } oldest && oldest.Value.Ends <= now) Remove(oldest);
    }

    private void Remove(LinkedListNode<(ulong Fingerprint, string Reason, DateTimeOffset Ends)> entry)
    {
        _byEnd.Remove(entry);
        _byFingerprint.Remove(entry.Value.Fingerprint);
    }

    private QuarantinedRequest ToContract((ulong Fingerprint, string Reason, DateTimeOffset Ends) entry) =>
        new(entry.Fingerprint, entry.Reason, entry.Ends - time.GetUtcNow());
}
