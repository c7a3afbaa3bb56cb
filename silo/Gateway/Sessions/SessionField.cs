using Granary.Client;

namespace Granary.Silo.Gateway.Sessions;

/// <summary>Which session a request is a turn of: the field <c>session_id</c>, or the header <c>x-session-id</c>.</summary>
internal static class SessionField
{
    public const string Name = "session_id";
    public const string Header = "x-session-id";

    /// <returns>Null where the body names none.</returns>
    /// <exception cref="ApiException">It is no id.</exception>
    public static string? Read(RequestFields fields) => fields.GetString(Name, GenerationLimits.MaxNameLength) is { } id ? Check(Name, id) : null;

    /// <summary>The body's, or the header's where the body names none.</summary>
    /// <exception cref="ApiException">The header is no id, or another than the body's.</exception>
    public static string? Choose(string? ofBody, HttpContext context)
    {
        if (!context.Request.Headers.TryGetValue(Header, out var values)) return ofBody;
        var ofHeader = Check(Header, values.ToString());
        return ofBody is null || ofBody == ofHeader
            ? ofHeader
            : throw ApiException.Invalid(Name, $"{Name} is \"{ofBody}\"; the header {Header} says \"{ofHeader}\", and a request is a turn of one session.");
    }

    /// <exception cref="ApiException">It is no id.</exception>
    public static string Check(string name, string id) =>
        SessionIds.IsId(id) ? id : throw ApiException.Invalid(name, $"{name} has {id.Length} characters; it must be {SessionIds.Rule}.");
}
