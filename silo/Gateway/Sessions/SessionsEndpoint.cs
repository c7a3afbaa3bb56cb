using System.Text.Json;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Sessions;
using Orleans;
using Orleans.Runtime;

namespace Granary.Silo.Gateway.Sessions;

/// <summary>Tells, branches and closes sessions.</summary>
internal sealed class SessionsEndpoint(SessionTurns turns, RequestBody body, ModelField models, IGrainFactory grains)
{
    private static readonly TimeSpan RetryAfterSilence = TimeSpan.FromSeconds(1);

    public async Task GetAsync(HttpContext context)
    {
        var (id, grain) = await FindAsync(context);
        var session = await AskAsync(() => grain.GetAsync(context.RequestAborted)) ?? throw ApiException.SessionNotFound(id);
        await WriteAsync(context, id, session);
    }

    /// <summary>Makes another session that goes on from this one's history.</summary>
    public async Task ForkAsync(HttpContext context)
    {
        string fork;
        using (var document = await body.ReadAsync(context)) fork = ReadFork(models.Open(document.RootElement));
        var (id, grain) = await FindAsync(context);
        var key = turns.KeyOf(context, fork);
        var session = await AskAsync(async () =>
        {
            var branch = await grain.BranchAsync(context.RequestAborted) ?? throw ApiException.SessionNotFound(id);
            try
            {
                return await grains.GetGrain<ISessionGrain>(key).OpenAsync(branch, context.RequestAborted);
            }
            catch (SessionExistsException)
            {
                throw ApiException.SessionExists(fork);
            }
        });
        await WriteAsync(context, fork, session);
    }

    public async Task DeleteAsync(HttpContext context)
    {
        var (id, grain) = await FindAsync(context);
        if (!await AskAsync(() => grain.CloseAsync(context.RequestAborted))) throw ApiException.SessionNotFound(id);
        await Json.WriteAsync(context.Response, id, static (json, id) =>
        {
            json.WriteStartObject();
            json.WriteString("id"u8, id);
            json.WriteString("object"u8, "session"u8);
            json.WriteBoolean("deleted"u8, true);
            json.WriteEndObject();
        });
    }

    /// <returns>The new session's id.</returns>
    internal static string ReadFork(RequestFields fields)
    {
        var id = fields.GetString("id", Client.GenerationLimits.MaxNameLength);
        fields.RefuseUnknown();
        return id is null ? $"sess_{Guid.NewGuid():N}" : SessionField.Check("id", id);
    }

    /// <summary>The grain of the session in the path, once it knows what was answered here.</summary>
    private async Task<(string Id, ISessionGrain Grain)> FindAsync(HttpContext context)
    {
        var id = (string)context.Request.RouteValues["id"]!;
        if (!Client.SessionIds.IsId(id)) throw ApiException.SessionNotFound(id);
        var key = turns.KeyOf(context, id);
        await turns.SettleAsync(key);
        return (id, grains.GetGrain<ISessionGrain>(key));
    }

    private static async Task<T> AskAsync<T>(Func<Task<T>> ask)
    {
        try
        {
            return await ask();
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException or SessionFormatException)
        {
            throw ApiException.StorageUnavailable("The session cannot be reached now.", RetryAfterSilence);
        }
    }

    private static Task WriteAsync(HttpContext context, string id, SessionInfo session) => Json.WriteAsync(context.Response, (id, session), static (json, value) =>
    {
        var session = value.session;
        json.WriteStartObject();
        json.WriteString("id"u8, value.id);
        json.WriteString("object"u8, "session"u8);
        json.WriteString("model"u8, session.Model);
        json.WriteNumber("turns"u8, session.Turns);
        json.WriteNumber("history_tokens"u8, session.HistoryTokens);
        json.WriteString("last_turn_id"u8, session.LastTurnId);
        json.WriteStartObject("owner"u8);
        json.WriteString("replica"u8, session.Owner?.ReplicaId);
        if (session.Owner is { } owner) json.WriteNumber("epoch"u8, owner.Epoch);
        else json.WriteNull("epoch"u8);
        json.WriteEndObject();
        json.WriteNumber("pinned_tokens"u8, session.PinnedTokens);
        WriteTime(json, "pinned_until", session.PinnedUntil);
        WriteTime(json, "created_at", session.CreatedAt);
        WriteTime(json, "used_at", session.UsedAt);
        WriteTime(json, "expires_at", session.ExpiresAt);
        json.WriteNumber("version"u8, session.Version);
        json.WriteString("forked_from"u8, session.ForkedFrom?[(session.ForkedFrom.IndexOf('/') + 1)..]);
        json.WriteEndObject();
    });

    private static void WriteTime(Utf8JsonWriter json, string name, DateTimeOffset? time)
    {
        if (time is { } at) json.WriteNumber(name, at.ToUnixTimeSeconds());
        else json.WriteNull(name);
    }
}
