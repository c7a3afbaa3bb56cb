namespace Granary.Silo.Gateway;

/// <summary>Lets nobody in without a key, where there are keys; probes and scrapes stay open.</summary>
internal sealed class ApiKeyMiddleware(RequestDelegate next, ApiKeys keys)
{
    private static readonly PathString[] Open = ["/health", "/metrics"];

    public Task InvokeAsync(HttpContext context)
    {
        if (!keys.AreRequired || Array.Exists(Open, path => context.Request.Path.StartsWithSegments(path))) return next(context);
        return keys.Allow(context.Request.Headers.Authorization) ? next(context) : throw ApiException.Unauthorized();
    }
}
