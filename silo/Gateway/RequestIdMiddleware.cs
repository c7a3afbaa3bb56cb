namespace Granary.Silo.Gateway;

/// <summary>Gives every response the id its request came with, or a new one.</summary>
internal sealed class RequestIdMiddleware(RequestDelegate next)
{
    public const string Header = "x-request-id";
    private const int MaxLength = 128;

    public Task InvokeAsync(HttpContext context)
    {
        var given = context.Request.Headers[Header].ToString();
        context.TraceIdentifier = IsId(given) ? given : Guid.NewGuid().ToString("N");
        context.Response.Headers[Header] = context.TraceIdentifier;
        return next(context);
    }

    /// <remarks>It goes into headers and logs: visible ASCII only.</remarks>
    private static bool IsId(string text) => text.Length is > 0 and <= MaxLength && text.All(c => c is > ' ' and < '\x7f');
}
