using Granary.Silo.Gateway;

namespace Granary.Silo.Hosting;

/// <summary>The silo with its HTTP gateway.</summary>
internal static class WebHost
{
    /// <param name="configure">Services that replace those added here.</param>
    /// <param name="place">Which silo of the process it is; null for the first.</param>
    public static WebApplication Build(IReadOnlyDictionary<string, string?> settings, string[] urls, LogLevel quietest = LogLevel.Information, Action<IServiceCollection>? configure = null, SiloPlace? place = null)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        GranaryHost.Configure(builder, settings, quietest, place);
        builder.Services.AddGranaryGateway();
        ListenAddresses.RefuseOpen(urls, GranaryHost.Read(builder.Configuration).Gateway);
        configure?.Invoke(builder.Services);
        builder.WebHost.UseKestrelCore().UseUrls(urls);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.AddServerHeader = false);
        var app = builder.Build();
        app.MapGranaryGateway();
        return app;
    }
}
