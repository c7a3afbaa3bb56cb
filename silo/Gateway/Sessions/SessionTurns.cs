using Granary.Client;
using Granary.GrainInterfaces.Cluster;

namespace Granary.Silo.Gateway.Sessions;

/// <summary>Begins turns of the sessions that requests name. A key of the gateway sees its own sessions only.</summary>
internal sealed class SessionTurns(SessionRecorder recorder, ApiKeys keys)
{
    /// <summary>Longest that a response waits, once it is whole, to learn which session it belongs to.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>The session's key in the cluster.</summary>
    public string KeyOf(HttpContext context, string id) => GrainKeys.Session(TenantOf(context), id);

    /// <summary>Waits until the session knows what was answered here.</summary>
    public Task SettleAsync(string key) => recorder.SettleAsync(key);

    /// <summary>A plan whose first choice is recorded, where the request names a session.</summary>
    /// <exception cref="ApiException">The header is no id, or another than the body's.</exception>
    public GenerationPlan Begin(HttpContext context, GenerationPlan plan) =>
        SessionField.Choose(plan.SessionId, context) is { } id ? plan with { Turn = recorder.Begin(KeyOf(context, id), plan.Id) } : plan;

    /// <summary>As above, for a response that may go on from another.</summary>
    /// <param name="previous">Key of the session of the response before; null where it has none.</param>
    /// <param name="previousId">The response before.</param>
    public GenerationPlan Begin(HttpContext context, GenerationPlan plan, string? previous, string? previousId)
    {
        if (SessionField.Choose(plan.SessionId, context) is { } id) return plan with { Turn = recorder.Begin(KeyOf(context, id), plan.Id) };
        // A response can be gone on from by whoever knows its id; its session is its owner's alone.
        return previous?.StartsWith(KeyOf(context, ""), StringComparison.Ordinal) == true
            ? plan with { Turn = recorder.Begin(previous, plan.Id, previousId) }
            : plan;
    }

    private string? TenantOf(HttpContext context)
    {
        var owner = keys.OwnerOf(context.Request.Headers.Authorization, "session");
        return owner.Length == 0 ? null : Convert.ToHexStringLower(owner.AsSpan(0, 16));
    }
}
