using System.Reflection;

namespace Granary.Silo.Gateway;

/// <summary>Tells what this gateway is: its version, and the description of its API.</summary>
internal static class DescriptionEndpoints
{
    private const string Resource = "openapi.json";

    public static string Version { get; } =
        typeof(DescriptionEndpoints).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0.0.0";

    public static Task VersionAsync(HttpContext context) => Json.WriteAsync(context.Response, Version, static (json, version) =>
    {
        json.WriteStartObject();
        json.WriteString("version"u8, version);
        json.WriteEndObject();
    });

    public static async Task OpenApiAsync(HttpContext context)
    {
        await using var description = Open();
        context.Response.ContentType = Json.ContentType;
        context.Response.ContentLength = description.Length;
        await description.CopyToAsync(context.Response.Body, context.RequestAborted);
    }

    /// <summary>The description as it is served.</summary>
    public static Stream Open() => typeof(DescriptionEndpoints).Assembly.GetManifestResourceStream(Resource)!;
}
